/* rows.c - the rows of reports: one a layer, with what it costs. */
#include "driver/report.h"

#include <math.h>
#include <string.h>

static const Param *weight_of(const Node *n) {
  const Node *w = n->op == OP_CONV2D || n->op == OP_LINEAR
                    ? node_operand(n, "w") : NULL;
  return w && w->op == OP_PARAM ? w->param : NULL;
}

/* Zeros among all values, and nonzeros among those that are stored. */
static void weight_share(Session *s, Row *r) {
  int64_t all = type_elems(&r->w->type);
  double nonzeros = (double)param_nonzeros(s->module, r->w);
  const Sparse *sp = r->w->type.sparse;
  int64_t stored = sp ? sp->nnz : all;
  r->sparsity = all ? 1 - nonzeros / (double)all : 0;
  r->fill = stored ? nonzeros / (double)stored : 1;
}

static Row row_of(Session *s, const Node *n) {
  Row r = {.n = n, .name = n->path ? n->path : n->name ? n->name
                                            : op_info(n->op)->name};
  const Param *w = r.w = weight_of(n);
  r.steps = 1;
  r.sparsity = r.fill = r.measured_us = -1;
  if (s->facts && s->facts->compared && n->path)
    r.gap = map_get(&s->facts->effects.of, n->path);
  r.shape = n->type;
  r.cost = node_cost(s->module, n);
  for (int i = 0; i < n->nin; i++) {
    if (!n->in[i] || n->in[i]->op != OP_PARAM) continue;
    r.weights += type_elems(&n->in[i]->param->type);
    r.nonzeros += param_nonzeros(s->module, n->in[i]->param);
  }
  Arena *scratch = arena_new();
  r.count = n->kernel ? node_alternatives(scratch, s->module, &s->target,
                                          s->choices, n, r.all) : 0;
  arena_free(scratch);
  r.us = r.dense_us = node_us(s->module, &s->target, n);
  for (int i = 0; i < r.count; i++) {
    if (i == 0) r.dense_us = r.all[i].us;
    if (r.all[i].taken) r.us = r.all[i].us;
  }
  if (!w) return r;
  weight_share(s, &r);
  const Sparse *sp = w->type.sparse;
  if (!sp)
    snprintf(r.pattern, sizeof r.pattern, "dense");
  else if (sp->n)
    snprintf(r.pattern, sizeof r.pattern, "%d:%d", sp->n, RUN_COLUMNS);
  else if (sp->br * sp->bc == 1)
    snprintf(r.pattern, sizeof r.pattern, "unstructured");
  else
    snprintf(r.pattern, sizeof r.pattern, "%dx%d", sp->br, sp->bc);
  return r;
}

static bool is_layer(const Node *n) {
  return !(op_info(n->op)->flags & FLAG_LEAF) && n->op != OP_ITEM;
}

/* Are both strips of one layer?  Rows that two strips need count in both. */
static bool rows_match(const Row *a, const Row *b) {
  const Node *x = a->n, *y = b->n;
  const Param *w = weight_of(x);
  bool same = x->op == y->op && x->path && y->path &&
              strcmp(x->path, y->path) == 0 && a->count == b->count;
  int64_t step;
  bool part = w ? w == weight_of(y)
                : x->op == OP_SLICE && node_rows(x, 0, &step) >= 0 &&
                    step == 1;
  return same && part && !x->kernel == !y->kernel &&
         (!x->kernel || strcmp(x->kernel, y->kernel) == 0);
}

static void row_join(Row *to, const Row *r) {
  to->steps++;
  to->shape.dim[2] += r->shape.dim[2];
  to->cost.macs += r->cost.macs;
  to->cost.nonzero_macs += r->cost.nonzero_macs;
  to->cost.bytes += r->cost.bytes;
  to->us += r->us, to->dense_us += r->dense_us;
  if (to->measured_us >= 0) to->measured_us += fmax(r->measured_us, 0);
  for (int i = 0; i < to->count; i++) to->all[i].us += r->all[i].us;
}

/* A row for each layer of a function. */
Rows rows_make(Session *s, const Func *f) {
  Rows rows = {0};
  for (size_t i = 0; i < f->nodes.n; i++) {
    if (!is_layer(f->nodes.at[i])) continue;
    Row r = row_of(s, f->nodes.at[i]);
    if (s->facts && s->facts->node_us && f == s->module->funcs.at[0])
      r.measured_us = s->facts->node_us[i];
    size_t k = 0;
    while (k < rows.n && !rows_match(&rows.at[k], &r)) k++;
    if (k < rows.n) row_join(&rows.at[k], &r);
    else vec_push(s->arena, &rows, r);
  }
  return rows;
}

/* Why this kernel, and in how many steps. */
const char *row_why(Session *s, const Row *r) {
  const char *why = r->n->why ? r->n->why : "";
  if (r->steps == 1) return why;
  return arena_printf(s->arena, "%s%sin %d strips", why, *why ? "; " : "",
                      r->steps);
}

void row_shape(char *to, size_t size, const Type *t) {
  size_t n = 0;
  *to = 0;
  for (int i = 0; i < t->rank && n < size; i++)
    n += (size_t)snprintf(to + n, size - n, "%s%lld", i ? "x" : "",
                          (long long)t->dim[i]);
}

void totals_add(Totals *t, const Row *r, bool model) {
  t->weights += r->weights;
  t->nonzeros += r->nonzeros;
  if (r->n->op == OP_CONVERT) {
    t->converts++;
    t->convert_bytes += r->cost.bytes;
  }
  if (!model) return;
  t->cost.macs += r->cost.macs;
  t->cost.nonzero_macs += r->cost.nonzero_macs;
  t->cost.bytes += r->cost.bytes;
}

Totals totals_make(Session *s) {
  Totals sum = {0};
  for (size_t k = 0; k < s->module->funcs.n; k++) {
    Rows rows = rows_make(s, s->module->funcs.at[k]);
    for (size_t i = 0; i < rows.n; i++) totals_add(&sum, &rows.at[i], k == 0);
  }
  return sum;
}
