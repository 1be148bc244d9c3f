/* fold_print.c - blocks and the model that calls them, as text. */
#include "frontend/fold_print.h"

#include <ctype.h>
#include <string.h>

/* ---- statements -------------------------------------------------------- */

/* What stands for an operand. */
const char *ref_text(Body *w, uint32_t slot) {
  Fold *f = w->p->f;
  const Node *x = slot_value(f, slot);
  uint32_t begin = w->b->begin[0], at = f->at[x->id];
  if (at < f->n && at >= begin)
    return w->p->label[at];
  if (x->op == OP_PARAM && w->p->local[x->param->order] &&
      (body_is_main(w) || param_within(f, x->param, begin, w->b->len)))
    return w->p->local[x->param->order];
  if (body_is_main(w))
    return x->op == OP_STATE ? x->state->path : x->name;
  return w->b->arg_name[w->b->arg_of[slot - f->slot[begin]]];
}

static void operand_print(Text *out, void *body, const Node *n, int i) {
  Body *w = body;
  const Fold *f = w->p->f;
  if (n->in[i]->op == OP_CONST)
    literal_print(out, n->in[i]);
  else
    text_puts(out, ref_text(w, f->slot[f->at[n->id]] + (uint32_t)i));
}

static void node_statement(Body *w, uint32_t at) {
  Fold *f = w->p->f;
  const Block *b = w->b;
  const Node *n = f->node[b->begin[0] + at];
  Str *all = arena_array(f->a, Str, b->n);
  Text *t = &w->text;
  w->p->label[b->begin[0] + at] = value_name(w, b->begin[0] + at);
  text_puts(t, "  ");
  binding_print(t, w->p->label[b->begin[0] + at], &n->type);
  op_call_print(t, n, operand_print, w);
  if (n->path) {
    for (uint32_t i = 0; i < b->n; i++)
      all[i] = path_inside(f, b, i, at);
    Pieces p = name_split(w, all);
    text_puts(t, " as ");
    path_print(w, NULL, &p, t);
  }
  if (n->nfrom == 1 && n->from->node) {
    for (uint32_t i = 0; i < b->n; i++)
      all[i] = name_inside(f, b, i, at);
    Pieces p = name_split(w, all);
    place_print(w, NULL, n->from->file ? n->from->file : "", &p, t);
  } else {
    places_print(t, n);
  }
  text_puts(t, ";\n");
}

/* ---- the whole --------------------------------------------------------- */

static void parts_print(Body *w) {
  for (size_t i = 0; i < w->b->parts.n;) {
    const Part *p = &w->b->parts.at[i];
    if (!p->call)
      node_statement(w, p->at);
    i += p->call ? calls_print(w, i) : 1;
  }
}

/* The last word of an instance's scope that begins with a letter, numbers
 * behind it left out. */
static Str scope_word(const Fold *f, const Block *b, uint32_t i) {
  const char *path = f->node[b->begin[i]]->path;
  size_t end = b->scoped ? b->scope[i] : 0;
  while (end) {
    size_t from = end, n;
    while (from && path[from - 1] != '.')
      from--;
    n = strcspn(path + from, ".[");
    if (n > end - from)
      n = end - from;
    while (n && (isdigit((unsigned char)path[from + n - 1]) ||
                 path[from + n - 1] == '_'))
      n--;
    if (n && isalpha((unsigned char)path[from]))
      return (Str){path + from, n};
    end = from ? from - 1 : 0;
  }
  return (Str){0};
}

/* The ops of a short block: matmul_add. */
static const char *block_ops(Fold *f, const Block *b) {
  enum { OPS_MOST = 3 };
  Text t = {0};
  for (size_t i = 0; i < b->parts.n && b->parts.n <= OPS_MOST; i++) {
    const Node *n = f->node[b->begin[0] + b->parts.at[i].at];
    text_printf(&t, "%s%s", i ? "_" : "",
                b->parts.at[i].call ? "part" : op_info(n->op)->name);
  }
  const char *s = t.n ? arena_strdup(f->a, t.s) : "part";
  text_free(&t);
  return s;
}

/* The innermost word of the scopes, if that is the same for all. */
static const char *block_wish(Fold *f, const Block *b) {
  Str s = scope_word(f, b, 0);
  for (uint32_t i = 1; i < b->n && s.n; i++) {
    Str t = scope_word(f, b, i);
    if (t.n != s.n || memcmp(t.s, s.s, s.n))
      s.n = 0;
  }
  return s.n ? arena_strndup(f->a, s.s, s.n) : block_ops(f, b);
}

static void block_name(Printer *p, Block *b) {
  const char *wish = block_wish(p->f, b);
  Body none = {.p = p};
  b->name = wish;
  for (int i = 2; !name_is_free(&none, b->name); i++)
    b->name = arena_printf(p->f->a, "%s_%d", wish, i);
  map_put(p->f->a, &p->blocks, b->name, b);
}

static void args_name(Body *w) {
  Block *b = w->b;
  b->arg_name = arena_array(w->p->f->a, const char *, b->args.n + 1);
  for (size_t k = 0; k < b->args.n; k++)
    b->arg_name[k] = arg_name(w, b->args.at[k]);
}

/* A block is told the free dimensions of the model. */
static void signature(Body *w, Text *out) {
  const Fold *f = w->p->f;
  const Block *b = w->b;
  const char *sep = "";
  text_printf(out, "block %s(", b->name);
  for (size_t k = 0; k < b->args.n; k++, sep = ", ") {
    Type t = slot_value(f, f->slot[b->begin[0]] + b->args.at[k])->type;
    text_printf(out, "%s%s", sep, b->arg_name[k]);
    if (t.free) continue;
    t = type_make(t.elem, t.rank, t.dim);
    text_puts(out, ": ");
    type_print(out, &t);
  }
  for (size_t k = 0; k < b->vars.n; k++, sep = ", ")
    text_printf(out, "%s%s: int", sep, b->vars.at[k].name);
  for (int k = 0; f->m->free && k < f->m->free->n; k++, sep = ", ")
    text_printf(out, "%s%s: int", sep, f->m->free->dim[k].name);
  text_puts(out, ") -> ");
  for (size_t k = 0; k < b->results.n; k++) {
    uint32_t at = b->begin[0] + b->results.at[k];
    text_printf(out, "%s%s: ", k ? ", " : "", w->p->label[at]);
    type_print(out, &f->node[at]->type);
  }
  text_puts(out, " {\n");
}

static void block_print(Printer *p, Block *b) {
  if (b->printed)
    return;
  b->printed = true;
  for (size_t i = 0; i < b->parts.n; i++)
    if (b->parts.at[i].call)
      block_print(p, b->parts.at[i].call);
  Body w = {.p = p, .b = b};
  Text decls = {0};
  memset(p->local, 0, (p->f->m->params.n + 1) * sizeof *p->local);
  text_puts(&decls, "");
  params_print(&w, &decls);
  args_name(&w);
  parts_print(&w);
  signature(&w, p->out);
  text_write(p->out, w.head.s, w.head.n);
  text_write(p->out, decls.s, decls.n);
  text_write(p->out, w.text.s, w.text.n);
  text_puts(p->out, "}\n\n");
  text_free(&decls);
  text_free(&w.head);
  text_free(&w.text);
}

/* Params of the model itself keep their paths. */
static void model_params(Printer *p) {
  const Fold *f = p->f;
  for (size_t i = 0; i < f->m->params.n; i++) {
    const Param *x = f->m->params.at[i];
    p->local[i] = p->key[i] ? NULL : x->path;
    if (p->key[i])
      continue;
    p->key[i] = x->path;
    text_printf(p->out, "  param %s: ", x->path);
    type_print(p->out, &x->type);
    text_puts(p->out, ";\n");
  }
}

static void model_nexts(Body *w) {
  const Fold *f = w->p->f;
  for (size_t i = 0; i < f->f->nexts.n; i++) {
    const Next *x = &f->f->nexts.at[i];
    text_printf(w->p->out, "  next %s = ", x->state->path);
    if (x->node->op == OP_CONST)
      literal_print(w->p->out, x->node);
    else if (x->node->op == OP_PARAM)
      text_puts(w->p->out, x->node->param->path);
    else if (x->node->op == OP_STATE)
      text_puts(w->p->out, x->node->state->path);
    else
      text_puts(w->p->out, names_of(w->p->names, x->node));
    text_puts(w->p->out, ";\n");
  }
}

static void model_print(Printer *p, const char *weights) {
  Fold *f = p->f;
  Body w = {.p = p, .b = f->main};
  text_puts(p->out, "model ");
  signature_print(p->out, f->m, f->f);
  model_params(p);
  for (size_t i = 0; i < f->m->states.n; i++)
    state_print(p->out, f->m->states.at[i]);
  parts_print(&w);
  text_write(p->out, w.head.s, w.head.n);
  text_write(p->out, w.text.s, w.text.n);
  model_nexts(&w);
  aliases_print(p->out, p->names, f->f);
  if (weights) {
    text_puts(p->out, "  weights ");
    text_quote(p->out, weights);
    text_puts(p->out, ";\n");
  }
  text_puts(p->out, "}\n");
  text_free(&w.head);
  text_free(&w.text);
}

/* Paths that stay: params of the model itself, states. */
static void keys_keep(Printer *p) {
  const Fold *f = p->f;
  bool *owned = arena_array(f->a, bool, f->m->params.n + 1);
  for (size_t k = 0; k < f->blocks.n; k++) {
    const Block *b = f->blocks.at[k];
    for (uint32_t i = 0; i < b->n; i++)
      for (uint32_t s = f->slot[b->begin[i]];
           s < f->slot[b->begin[i] + b->len]; s++) {
        const Node *x = slot_value(f, s);
        if (x && x->op == OP_PARAM &&
            param_within(f, x->param, b->begin[i], b->len))
          owned[x->param->order] = true;
      }
  }
  for (size_t i = 0; i < f->m->params.n; i++)
    if (!owned[i])
      map_put(f->a, &p->keys, f->m->params.at[i]->path, p);
  for (size_t i = 0; i < f->m->states.n; i++)
    map_put(f->a, &p->keys, f->m->states.at[i]->path, p);
}

void fold_print(Fold *f, Text *out, const char *weights, const char **key) {
  Printer p = {.f = f, .out = out, .key = key,
               .names = names_new(f->m, f->f)};
  p.label = arena_array(f->a, const char *, f->n + 1);
  p.local = arena_array(f->a, const char *, f->m->params.n + 1);
  keys_keep(&p);
  map_put(f->a, &p.blocks, f->f->name, f);
  for (size_t i = 0; i < f->blocks.n; i++)
    block_name(&p, f->blocks.at[i]);
  for (size_t i = 0; i < f->blocks.n; i++)
    block_print(&p, f->blocks.at[i]);
  model_print(&p, weights);
  names_free(p.names);
}
