/* print.c - a module as a flat program.  Whatever is printed parses back to
 * the same module, and that prints the same again; names.c picks the names.
 */
#include "ir/names.h"

#include <string.h>

/* ---- literals ------------------------------------------------------- */

/* The least number has no digits that fit behind a minus. */
static void int_print(Text *out, int64_t v) {
  if (v == INT64_MIN) text_printf(out, "%lld - 1", (long long)(v + 1));
  else text_printf(out, "%lld", (long long)v);
}

/* v, or where `free` has n numbers a sample the i-th of them. */
static void size_print(Text *out, int64_t v, const FreeInts *free, int i,
                       int n) {
  FreeExpr e;
  bool differs = false;
  for (int k = 0; free && k < free->of->nsamples; k++)
    differs |= free->v[k * n + i] != v;
  if (differs && free_expr(free->of, &free->v[i], (size_t)n, &e))
    free_expr_print(out, free->of, &e);
  else
    int_print(out, v);
}

static void ints_print(Text *out, const Attr *a) {
  text_putc(out, '[');
  for (int i = 0; i < a->n; i++) {
    text_puts(out, i ? "," : "");
    size_print(out, a->ints[i], a->free, i, a->n);
  }
  text_putc(out, ']');
}

static void attr_print(Text *out, const Attr *a) {
  switch (a->kind) {
  case ATTR_INT:
    size_print(out, a->i, a->free, 0, 1);
    return;
  case ATTR_INTS:
    ints_print(out, a);
    return;
  case ATTR_FLOAT:
    text_float(out, a->f, false);
    return;
  case ATTR_STR:
    text_quote(out, a->s ? a->s : "");
    return;
  case ATTR_BOOL:
    text_puts(out, a->i ? "true" : "false");
    return;
  case ATTR_ELEM:
    text_puts(out, elem_name((Elem)a->i));
    return;
  }
  unreachable();
}

/* ---- values --------------------------------------------------------- */

/* A literal: 0.5, i32(3), b1(true). */
void literal_print(Text *out, const Node *n) {
  Elem e = n->type.elem;
  if (e != F32) text_printf(out, "%s(", elem_name(e));
  else if (n->free) text_putc(out, '(');
  if (n->free) size_print(out, n->free->v[0], n->free, 0, 1);
  else if (elem_is_float(e)) text_float(out, n->value, false);
  else if (e == B1) text_puts(out, n->ivalue ? "true" : "false");
  else int_print(out, n->ivalue);
  if (e != F32 || n->free) text_putc(out, ')');
}

/* What stands for a node where it is used. */
static void ref_print(Text *out, const Names *names, const Node *n) {
  if (n->op == OP_CONST)
    literal_print(out, n);
  else if (n->op == OP_PARAM)
    text_puts(out, n->param->path);
  else if (n->op == OP_STATE)
    text_puts(out, n->state->path);
  else
    text_puts(out, names_of(names, n));
}

/* Returns what stands in front of the next argument. */
static const char *operands_print(Text *out, const Node *n, RefPrinter *ref,
                                  void *ctx) {
  const OpInfo *info = op_info(n->op);
  const char *sep = "";
  for (int i = 0; i < n->nin; i++) {
    if (!n->in[i]) continue;
    text_puts(out, sep);
    if (i >= info->nrequired && !info->variadic)
      text_printf(out, "%s=", info->operand[i]);
    ref(out, ctx, n, i);
    sep = ", ";
  }
  return sep;
}

static void attrs_print(Text *out, const Node *n, const char *sep) {
  const OpInfo *info = op_info(n->op);
  for (int i = 0; i < info->nattrs; i++) {
    if (!n->attr[i].set || attr_equal(&n->attr[i], &info->def[i])) continue;
    text_printf(out, "%s%s=", sep, info->attr[i]);
    attr_print(out, &n->attr[i]);
    sep = ", ";
  }
  if (n->kernel) {
    text_printf(out, "%skernel=", sep);
    text_quote(out, n->kernel);
  }
  if (n->tile[0] || n->tile[1])
    text_printf(out, ", tile=[%d,%d]", n->tile[0], n->tile[1]);
}

void places_print(Text *out, const Node *n) {
  for (int i = 0; i < n->nfrom; i++) {
    const Place *p = &n->from[i];
    text_puts(out, i ? ", " : " from ");
    text_quote(out, p->file ? p->file : "");
    if (p->node) {
      text_putc(out, ' ');
      text_quote(out, p->node);
    } else if (p->line > 0) {
      text_printf(out, " %d:%d", p->line, p->col);
    }
  }
}

void op_call_print(Text *out, const Node *n, RefPrinter *ref, void *ctx) {
  text_printf(out, "%s(", op_info(n->op)->name);
  const char *sep = operands_print(out, n, ref, ctx);
  attrs_print(out, n, sep);
  text_putc(out, ')');
}

void binding_print(Text *out, const char *name, const Type *t) {
  text_printf(out, "%s: ", name);
  type_print(out, t);
  text_puts(out, " = ");
}

static void operand_print(Text *out, void *names, const Node *n, int i) {
  ref_print(out, names, n->in[i]);
}

static void statement_print(Text *out, Names *names, const Node *n) {
  binding_print(out, names_of(names, n), &n->type);
  op_call_print(out, n, operand_print, names);
  if (n->path) text_printf(out, " as %s", n->path);
  places_print(out, n);
  text_putc(out, ';');
}

/* Outputs that no statement of their own binds are bound at the end; first
 * those values whose name such a binding takes away get another one. */
void aliases_print(Text *out, Names *names, const Func *f) {
  Arena *a = arena_new();
  const char **from = arena_array(a, const char *, f->outputs.n);
  Map late = {0};   /* names bound here, so far */
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Node *n = f->outputs.at[i].node;
    if (names_binds_output(names, f, i)) continue;
    Text t = {0};
    ref_print(&t, names, n);
    from[i] = arena_strdup(a, t.s);
    if (map_get(&late, t.s)) {
      from[i] = names_fresh(names, t.s);
      text_puts(out, "  ");
      binding_print(out, from[i], &n->type);
      text_printf(out, "%s;\n", t.s);
    }
    map_put(a, &late, f->outputs.at[i].name, &late);
    text_free(&t);
  }
  for (size_t i = 0; i < f->outputs.n; i++) {
    if (!from[i]) continue;
    text_puts(out, "  ");
    binding_print(out, f->outputs.at[i].name, &f->outputs.at[i].node->type);
    text_printf(out, "%s;\n", from[i]);
  }
  arena_free(a);
}

/* ---- the whole ------------------------------------------------------ */

static void dump_print(Text *out, const DumpInfo *d) {
  if (!d->after) return;
  const struct { const char *key, *value; } words[] = {
    {"target", d->target}, {"cpu", d->cpu}, {"features", d->features}
  };
  text_puts(out, "dump after=");
  text_quote(out, d->after);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (!words[i].value) continue;
    text_printf(out, ", %s=", words[i].key);
    text_quote(out, words[i].value);
  }
  if (d->opt >= 0) text_printf(out, ", opt=%d", d->opt);
  if (d->sparsity) {
    text_puts(out, ", sparsity=");
    text_quote(out, d->sparsity);
  }
  if (d->weight_type)
    text_printf(out, ", weight_type=\"%s\"", elem_name(d->weight_type));
  if (d->code_budget)
    text_printf(out, ", code_budget=%lld",
                d->code_budget < 0 ? 0 : (long long)d->code_budget);
  if (d->arena_bytes)
    text_printf(out, ", arena=%lld", (long long)d->arena_bytes);
  text_puts(out, ";\n");
}

static void bounds_print(Text *out, const FreeDims *f) {
  const char *sep = " where ";
  for (int i = 0; i < f->n; i++) {
    const FreeDim *d = &f->dim[i];
    if (d->least > 1)
      text_printf(out, "%s%s >= %lld", sep, d->name, (long long)d->least);
    if (d->least > 1) sep = ", ";
    text_printf(out, "%s%s <= %lld", sep, d->name, (long long)d->most);
    sep = ", ";
  }
}

void signature_print(Text *out, const Module *m, const Func *f) {
  text_printf(out, "%s(", f->name);
  for (size_t i = 0; i < f->inputs.n; i++) {
    const Node *n = f->inputs.at[i];
    text_printf(out, "%s%s: ", i ? ", " : "", n->name);
    type_print(out, &n->type);
  }
  text_puts(out, ") -> ");
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Type *t = &f->outputs.at[i].node->type;
    Type shape = type_make(t->elem, t->rank, t->dim);
    shape.free = t->free;
    text_printf(out, "%s%s: ", i ? ", " : "", f->outputs.at[i].name);
    type_print(out, &shape);
  }
  if (m->free && f == m->funcs.at[0]) bounds_print(out, m->free);
  text_puts(out, " {\n");
}

void state_print(Text *out, const State *s) {
  Node value = {.op = OP_CONST, .type = type_make(s->type.elem, 0, NULL),
                .value = s->value, .ivalue = s->ivalue};
  text_printf(out, "  state %s: ", s->path);
  type_print(out, &s->type);
  text_puts(out, " = ");
  literal_print(out, &value);
  text_puts(out, ";\n");
}

static void func_print(Text *out, const Module *m, const Func *f,
                       const char *weights) {
  bool model = f == m->funcs.at[0];
  text_puts(out, model ? "model " : "func ");
  signature_print(out, m, f);
  for (size_t i = 0; model && i < m->params.n; i++) {
    text_printf(out, "  param %s: ", m->params.at[i]->path);
    type_print(out, &m->params.at[i]->type);
    text_puts(out, ";\n");
  }
  for (size_t i = 0; model && i < m->states.n; i++)
    state_print(out, m->states.at[i]);
  Names *names = names_new(m, f);
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    if (op_info(n->op)->flags & FLAG_LEAF) continue;
    text_puts(out, "  ");
    statement_print(out, names, n);
    text_putc(out, '\n');
  }
  for (size_t i = 0; i < f->nexts.n; i++) {
    text_printf(out, "  next %s = ", f->nexts.at[i].state->path);
    ref_print(out, names, f->nexts.at[i].node);
    text_puts(out, ";\n");
  }
  aliases_print(out, names, f);
  names_free(names);
  if (model && weights) {
    text_puts(out, "  weights ");
    text_quote(out, weights);
    text_puts(out, ";\n");
  }
  text_puts(out, "}\n");
}

/* Words, 4x1 and 2:4 stand without quotes in a recipe. */
static bool word_is_bare(const char *s) {
  size_t digits = strspn(s, "0123456789");
  if (digits && (s[digits] == 'x' || s[digits] == ':')) {
    const char *rest = s + digits + 1;
    return *rest && rest[strspn(rest, "0123456789")] == 0;
  }
  return name_is_valid(s);
}

static void step_print(Text *out, const RecipeStep *s) {
  text_printf(out, "  %s ", s->verb);
  for (size_t i = 0; i < s->params.n; i++)
    text_printf(out, "%s%s", i ? ", " : "", s->params.at[i]->path);
  for (size_t i = 0; i < s->blocks.n; i++)
    text_printf(out, "%s%s", i ? ", " : "", s->blocks.at[i]);
  for (size_t i = 0; i < s->parts.n; i++) {
    const RecipePart *p = &s->parts.at[i];
    Arena *a = arena_new();
    text_printf(out, "%s%s", i || s->params.n ? ", " : "",
                path_part(a, p->of->path, p->part));
    arena_free(a);
  }
  for (size_t i = 0; i < s->args.n; i++) {
    const Attr *a = &s->args.at[i].value;
    text_printf(out, "%s%s=", i ? ", " : " with ", s->args.at[i].name);
    if (a->kind == ATTR_STR && word_is_bare(a->s))
      text_puts(out, a->s);
    else
      attr_print(out, a);
  }
  text_puts(out, ";\n");
}

void module_print(Text *out, const Module *m, const char *weights) {
  dump_print(out, &m->dump);
  for (size_t i = 0; i < m->funcs.n; i++)
    func_print(out, m, m->funcs.at[i], weights);
  if (m->recipe.n == 0) return;
  text_printf(out, "recipe pending for %s {\n", m->name);
  for (size_t i = 0; i < m->recipe.n; i++)
    step_print(out, &m->recipe.at[i]);
  text_puts(out, "}\n");
}

void node_print(Text *out, const Module *m, const Func *f, const Node *n) {
  if (op_info(n->op)->flags & FLAG_LEAF) {
    text_printf(out, "%s ", op_info(n->op)->name);
    if (n->op == OP_CONST)
      literal_print(out, n);
    else
      text_puts(out, n->op == OP_PARAM ? n->param->path
                     : n->op == OP_STATE ? n->state->path : n->name);
    text_puts(out, ": ");
    type_print(out, &n->type);
    return;
  }
  Names *names = names_new(m, f);
  statement_print(out, names, n);
  names_free(names);
}
