/* onnx_write.c - a module as an ONNX file: functions, states, weights.  What
 * other programs then show and run is what a pass has made. */
#include "frontend/onnx_out.h"

#include <string.h>

enum { DEPTH_MOST = 64 };

/* ---- names ---------------------------------------------------------- */

static OutFrame frame_new(Out *w, Func *f, const char *prefix) {
  OutFrame r = {.f = f, .prefix = prefix, .names = names_new(w->m, f)};
  for (size_t i = 0; i < f->nodes.n; i++)
    f->nodes.at[i]->id = (uint32_t)i;
  r.value = arena_array(w->a, const char *, f->nodes.n + 1);
  r.items = arena_array(w->a, const char **, f->nodes.n + 1);
  return r;
}

/* A param's path, unless an input or output has that name. */
static const char *param_name(Out *w, const Param *p) {
  const Func *f = w->m->funcs.at[0];
  bool taken = false;
  for (size_t i = 0; i < f->inputs.n && !taken; i++)
    taken = f->inputs.at[i]->name && !strcmp(f->inputs.at[i]->name, p->path);
  for (size_t i = 0; i < f->outputs.n && !taken; i++)
    taken = !strcmp(f->outputs.at[i].name, p->path);
  return taken ? arena_printf(w->a, "%s/param", p->path) : p->path;
}

/* Weights are those of the graph around all, whatever function uses them. */
static const char *leaf_name(Out *w, const OutFrame *r, const Node *n) {
  switch (n->op) {
  case OP_PARAM: return param_name(w, n->param);
  case OP_STATE: return n->state->path;
  case OP_CONST:
    return elem_is_float(n->type.elem)
             ? out_scalar(w, n->type.elem, n->value)
             : out_scalar_int(w, n->type.elem, n->ivalue);
  default:
    return arena_printf(w->a, "%s%s", r->prefix, names_of(r->names, n));
  }
}

/* ---- functions ------------------------------------------------------ */

static bool func_write(Out *w, OutFrame *r) {
  OutFrame *before = w->frame;
  bool ok = true;
  w->frame = r;
  for (size_t i = 0; i < r->f->nodes.n && ok; i++) {
    Node *n = r->f->nodes.at[i];
    w->node = n;
    if (r->value[i])
      continue;
    if (n->op == OP_ITEM) {
      r->value[i] = r->items[n->in[0]->id][attr_int(n, "index")];
    } else if (n->op == OP_CALL || n->op == OP_SCAN) {
      ok = out_call(w, n);
    } else {
      r->value[i] = leaf_name(w, r, n);
      if (!(op_info(n->op)->flags & FLAG_LEAF) || n->op == OP_IOTA ||
          n->op == OP_RANDOM)
        ok = out_write(w, n, r->value[i]);
    }
  }
  w->frame = before;
  return ok;
}

/* The callee's nodes in place of the call. */
static bool call_inline(Out *w, const Node *n, Func *f, const char **items) {
  OutFrame r = frame_new(w, f, arena_printf(w->a, "%scall%u/",
                                            w->frame->prefix, w->temps++));
  for (size_t i = 0; i < f->inputs.n; i++)
    r.value[f->inputs.at[i]->id] = out_in(w, n, (int)i);
  bool ok = func_write(w, &r);
  for (size_t i = 0; i < f->outputs.n && ok; i++)
    items[i] = r.value[f->outputs.at[i].node->id];
  names_free(r.names);
  return ok;
}

/* The body of a scan: its inputs are states, then slices. */
static bool body_write(Out *w, const Node *n, Func *f, Text *graph) {
  size_t slices = (size_t)attr_int(n, "slices"),
         carries = (size_t)attr_int(n, "carries"),
         stacked = f->outputs.n - carries;
  const char *prefix = arena_printf(w->a, "%sscan%u/", w->frame->prefix,
                                    w->temps++);
  OutFrame r = frame_new(w, f, prefix);
  OutGraph g = {.id = ++w->graphs}, *around = w->g;
  w->g = &g;
  for (size_t i = 0; i < f->inputs.n; i++) {
    size_t k = i < carries ? slices + i : i - carries;
    Node *in = f->inputs.at[i < carries + slices ? k : i];
    if (i >= carries + slices) {
      r.value[in->id] = out_in(w, n, (int)i);
      continue;
    }
    r.value[in->id] = leaf_name(w, &r, in);
    put_value(graph, 11, r.value[in->id], &in->type);
  }
  bool ok = func_write(w, &r);
  for (size_t i = 0; i < f->outputs.n && ok; i++) {
    const Output *o = &f->outputs.at[i < carries ? stacked + i : i - carries];
    const char *to = arena_printf(w->a, "%sout%zu", prefix, i);
    out_op(w, to, "Identity", r.value[o->node->id], NULL);
    put_value(graph, 12, to, &o->node->type);
  }
  put_str(graph, 2, f->name);
  text_write(graph, g.nodes.s ? g.nodes.s : "", g.nodes.n);
  text_write(graph, g.tensors.s ? g.tensors.s : "", g.tensors.n);
  text_free(&g.nodes);
  text_free(&g.tensors);
  names_free(r.names);
  w->g = around;
  return ok;
}

static bool scan_write(Out *w, const Node *n, Func *f, const char **items) {
  int slices = (int)attr_int(n, "slices");
  int carries = (int)attr_int(n, "carries");
  int all = (int)f->outputs.n, stacked = all - carries;
  int64_t axis = attr_int(n, "axis");
  const char *in[2 * MAX_RESULTS], *to[MAX_RESULTS];
  int64_t *same = arena_array(w->a, int64_t, (size_t)(slices + all));
  int64_t *back = arena_array(w->a, int64_t, (size_t)(slices + all));
  Text graph = {0};
  if (slices + carries > 2 * MAX_RESULTS)
    return out_unsupported(w, n, "too many operands");
  bool ok = body_write(w, n, f, &graph);
  w->node = n;
  for (int i = 0; i < slices + carries; i++)
    in[i] = out_in(w, n, i < carries ? slices + i : i - carries);
  for (int i = 0; i < all; i++)
    items[i < carries ? stacked + i : i - carries] = to[i] = out_temp(w);
  for (int i = 0; i < slices + all; i++) {
    same[i] = axis;
    back[i] = attr_bool(n, "reverse");
  }
  out_graph(w, "body", &graph);
  out_int(w, "num_scan_inputs", slices);
  out_ints(w, "scan_input_axes", same, slices);
  out_ints(w, "scan_input_directions", back, slices);
  out_ints(w, "scan_output_axes", same, stacked);
  out_ints(w, "scan_output_directions", back, stacked);
  out_node(w, to, all, "Scan", in, slices + carries);
  return ok;
}

bool out_call(Out *w, const Node *n) {
  Func *f = node_callee(w->m, n);
  const char **items = arena_array(w->a, const char *, MAX_RESULTS);
  if (!f || w->depth >= DEPTH_MOST)
    return out_unsupported(w, n, "calls too deep inside one another");
  w->frame->items[n->id] = items;
  w->frame->value[n->id] = "";
  w->depth++;
  bool ok = (n->op == OP_CALL ? call_inline : scan_write)(w, n, f, items);
  w->depth--;
  return ok;
}

/* ---- the graph ------------------------------------------------------ */

/* Inputs, then what states were before; outputs, then what they are. */
static void values_write(Out *w, OutFrame *r, Text *out) {
  Func *f = r->f;
  for (size_t i = 0; i < f->inputs.n; i++)
    put_value(out, 11, r->value[f->inputs.at[i]->id],
              &f->inputs.at[i]->type);
  for (size_t i = 0; i < w->m->states.n; i++)
    put_value(out, 11, w->m->states.at[i]->path, &w->m->states.at[i]->type);
  for (size_t i = 0; i < f->outputs.n; i++)
    put_value(out, 12, f->outputs.at[i].name, &f->outputs.at[i].node->type);
  for (size_t i = 0; i < f->nexts.n; i++)
    put_value(out, 12, arena_printf(w->a, "%s.next",
                                    f->nexts.at[i].state->path),
              &f->nexts.at[i].state->type);
}

/* An output that is no statement's own name is a copy. */
static void outputs_write(Out *w, OutFrame *r) {
  w->node = NULL;
  for (size_t i = 0; i < r->f->outputs.n; i++) {
    const Output *o = &r->f->outputs.at[i];
    const char *v = r->value[o->node->id];
    if (strcmp(v, o->name))
      out_op(w, o->name, "Identity", v, NULL);
  }
  for (size_t i = 0; i < r->f->nexts.n; i++) {
    const Next *x = &r->f->nexts.at[i];
    out_op(w, arena_printf(w->a, "%s.next", x->state->path), "Identity",
           r->value[x->node->id], NULL);
  }
}

static bool types_fit(Out *w) {
  for (size_t k = 0; k < w->m->params.n; k++) {
    const Param *p = w->m->params.at[k];
    if (!p->data && !p->values)
      return diag_error(w->d, EXIT_MODEL, p->span, "the param '%s' has no "
                        "values", p->path);
    if (!onnx_type(p->type.elem))
      return diag_error(w->d, EXIT_UNSUPPORTED, p->span, "ONNX has no "
                        "type %s", elem_name(p->type.elem));
  }
  return true;
}

/* ---- free dimensions ------------------------------------------------ */

/* Whether the file has numbers for a node that depend on free sizes: its
 * attributes, or shapes that ONNX wants in full. */
static bool is_of_bounds(const Node *n) {
  bool shaped = n->op == OP_RESHAPE || n->op == OP_EXPAND ||
                n->op == OP_IOTA || n->op == OP_RANDOM ||
                n->op == OP_RESIZE || n->op == OP_SCATTER ||
                n->op == OP_SCATTER_ADD ||
                n->op == OP_ARGSORT;
  bool free = n->free || (shaped && n->type.free);
  for (int i = 0; i < op_info(n->op)->nattrs && !free; i++)
    free = n->attr[i].free != NULL;
  return free;
}

/* Numbers inside are those of the bounds: said, with the number of nodes that
 * have such. */
static void bounds_warn(Out *w) {
  Text s = {0};
  size_t count = 0;
  const FreeDims *f = w->m->free;
  for (size_t i = 0; i < w->m->funcs.n; i++)
    for (size_t k = 0; k < w->m->funcs.at[i]->nodes.n; k++)
      count += is_of_bounds(w->m->funcs.at[i]->nodes.at[k]);
  if (!f || !count)
    return;
  for (int i = 0; i < f->n; i++)
    text_printf(&s, "%s%s=%lld", i ? ", " : "",
                f->dim[i].given ? f->dim[i].given : f->dim[i].name,
                (long long)f->dim[i].most);
  diag_warning(w->d, (Span){0}, "ONNX has the sizes of %zu node%s for %s "
               "alone, not for those below", count, count > 1 ? "s" : "", s.s);
  text_free(&s);
}

/* ---- weights -------------------------------------------------------- */

/* All of an initialiser but its bytes; how many those are. */
static uint64_t tensor_head(Out *w, const Param *p, Text *t) {
  uint64_t bytes = (uint64_t)type_elems(&p->type) * elem_size(p->type.elem);
  for (int i = 0; i < p->type.rank; i++)
    put_int(t, 1, p->type.dim[i]);
  put_int(t, 2, onnx_type(p->type.elem));
  put_str(t, 8, param_name(w, p));
  put_key(t, 9, bytes);
  return bytes;
}

/* Its key, length and all but the bytes. */
static uint64_t tensor_begin(Out *w, const Param *p, Text *out) {
  Text head = {0};
  uint64_t bytes = tensor_head(w, p, &head);
  put_key(out, 5, head.n + bytes);
  text_write(out, head.s, head.n);
  text_free(&head);
  return bytes;
}

static void param_put(Out *w, FILE *f, const Param *p) {
  Text t = {0};
  uint64_t bytes = tensor_begin(w, p, &t);
  const void *v = p->type.elem == F32 ? (const void *)param_values(w->m, p)
                                      : param_data(p);
  fwrite(t.s, 1, t.n, f);
  if (v && bytes)
    fwrite(v, 1, bytes, f);
  text_free(&t);
}

/* ---- the file ------------------------------------------------------- */

static void model_put(Out *w, FILE *f, const Text *graph) {
  Text head = {0}, opset = {0}, end = {0};
  uint64_t n = graph->n;
  for (size_t i = 0; i < w->m->params.n; i++) {
    Text t = {0};
    uint64_t bytes = tensor_begin(w, w->m->params.at[i], &t);
    n += t.n + bytes;
    text_free(&t);
  }
  put_int(&head, 1, OUT_IR_VERSION);
  put_str(&head, 2, "tamis");
  put_str(&head, 3, TAMIS_VERSION);
  put_key(&head, 7, n);
  put_str(&opset, 1, "");
  put_int(&opset, 2, OUT_OPSET);
  put_message(&end, 8, &opset);
  fwrite(head.s, 1, head.n, f);
  fwrite(graph->s, 1, graph->n, f);
  for (size_t i = 0; i < w->m->params.n; i++)
    param_put(w, f, w->m->params.at[i]);
  fwrite(end.s, 1, end.n, f);
  text_free(&head);
  text_free(&end);
}

bool onnx_write(Diags *d, const char *path, Module *m) {
  Out w = {.a = arena_new(), .d = d, .m = m};
  OutGraph g = {0};
  Text graph = {0};
  OutFile o;
  w.g = &g;
  OutFrame r = frame_new(&w, m->funcs.at[0], "");
  bool ok = types_fit(&w) && func_write(&w, &r);
  if (ok) {
    outputs_write(&w, &r);
    put_str(&graph, 2, m->name);
    text_write(&graph, g.nodes.s ? g.nodes.s : "", g.nodes.n);
    text_write(&graph, g.tensors.s ? g.tensors.s : "", g.tensors.n);
    values_write(&w, &r, &graph);
    ok = outfile_open(&o, d, path);
  }
  if (ok) {
    bounds_warn(&w);
    model_put(&w, o.f, &graph);
    ok = outfile_commit(&o, d);
  }
  names_free(r.names);
  text_free(&g.nodes);
  text_free(&g.tensors);
  text_free(&graph);
  text_free(&w.attrs);
  arena_free(w.a);
  return ok;
}
