/* normalize.c - rows less their mean, over their deviation: a pass for the
 * mean, one for the squares of what is left, one for the result, of a row
 * that lies in L1 meanwhile.  Vectors run along the rows where they are dense
 * in both values, else across an axis that is. */
#include "backend/row.h"
#include "backend/vmath.h"

typedef struct Norm {
  int64_t n, to, from;     /* size of a row, and strides along it */
  double eps;
  bool center;
  Val gamma, beta;         /* NULL: none */
} Norm;

/* One row, or n side by side. */
typedef struct Rows {
  const Norm *norm;
  Val to, from, mean, by;
  int n;
} Rows;

static Val load(Gen *g, const Rows *r, Val p) {
  return r->n ? load_lanes(g, p, 0, r->n) : load_f32(g, p, 0);
}

static Val mean_of(Gen *g, const Norm *m, Val sum) {
  return LLVMBuildFMul(g->b, sum, const_like(g, sum, 1.0 / (double)m->n), "");
}

/* 1 / sqrt(sum / n + eps) of a scalar or vector. */
static Val deviation(Gen *g, const Norm *m, Val sum) {
  Val v = fma_(g, sum, const_like(g, sum, 1.0 / (double)m->n),
               const_like(g, sum, m->eps));
  return LLVMBuildFDiv(g->b, const_like(g, sum, 1), vm_sqrt(g, v), "");
}

static Val result(Gen *g, const Norm *m, const Rows *r, Val x, Val gamma,
                  Val beta) {
  if (m->center) x = LLVMBuildFSub(g->b, x, r->mean, "");
  Val by = gamma ? LLVMBuildFMul(g->b, r->by, gamma, "") : r->by;
  return beta ? fma_(g, x, by, beta) : LLVMBuildFMul(g->b, x, by, "");
}

/* ---- along ----------------------------------------------------------- */

static Val sum_lanes(Gen *g, const void *ctx, Val at, Lanes l, Val acc) {
  const Rows *r = ctx;
  return addf(g, acc, lanes_load(g, addr(g, r->from, at), l));
}

static Val square_lanes(Gen *g, const void *ctx, Val at, Lanes l, Val acc) {
  const Rows *r = ctx;
  Val x = lanes_load(g, addr(g, r->from, at), l);
  if (r->norm->center)
    x = lanes_or(g, LLVMBuildFSub(g->b, x, r->mean, ""), l, 0);
  return fma_(g, x, x, acc);
}

static Val result_lanes(Gen *g, const void *ctx, Val at, Lanes l, Val acc) {
  const Rows *r = ctx;
  const Norm *m = r->norm;
  Val x = lanes_load(g, addr(g, r->from, at), l);
  Val gamma = m->gamma ? lanes_load(g, addr(g, m->gamma, at), l) : NULL;
  Val beta = m->beta ? lanes_load(g, addr(g, m->beta, at), l) : NULL;
  lanes_store(g, result(g, m, r, x, gamma, beta), addr(g, r->to, at), l);
  return acc;
}

static void row_along(Gen *g, Rows *r) {
  const Norm *m = r->norm;
  RowSize size = { m->n, NULL };
  Val zero = vzero(g);
  if (m->center) {
    Val sum = row_fold(g, size, sum_lanes, r, zero, zero, false);
    r->mean = mean_of(g, m, sum);
  }
  r->by = deviation(g, m, row_fold(g, size, square_lanes, r, zero, zero,
                                   false));
  row_each(g, size, result_lanes, r);
}

/* ---- across ---------------------------------------------------------- */

static void rows_across(Gen *g, Rows *r) {
  const Norm *m = r->norm;
  Val zero = r->n ? vzero(g) : kf(g, 0), sum = zero, squares = zero;
  Loop l;
  r->mean = zero;
  if (m->center) {
    loop_begin(g, &l, k64(g, 0), k64(g, m->n), 1, true, "mean");
    loop_carry(g, &l, &sum);
    sum = addf(g, sum, load(g, r, addr_at(g, r->from, l.iv, 4 * m->from)));
    loop_end(g, &l);
    r->mean = mean_of(g, m, sum);
  }
  loop_begin(g, &l, k64(g, 0), k64(g, m->n), 1, true, "squares");
  loop_carry(g, &l, &squares);
  Val x = load(g, r, addr_at(g, r->from, l.iv, 4 * m->from));
  if (m->center) x = LLVMBuildFSub(g->b, x, r->mean, "");
  squares = fma_(g, x, x, squares);
  loop_end(g, &l);
  r->by = deviation(g, m, squares);
  loop_begin(g, &l, k64(g, 0), k64(g, m->n), 1, true, "result");
  Val part[2] = { m->gamma, m->beta };
  for (int i = 0; i < 2; i++) {
    if (!part[i]) continue;
    part[i] = load_f32(g, addr_at(g, part[i], l.iv, 4), 0);
    if (r->n) part[i] = vsplat(g, part[i]);
  }
  x = load(g, r, addr_at(g, r->from, l.iv, 4 * m->from));
  Val y = result(g, m, r, x, part[0], part[1]);
  Val to = addr_at(g, r->to, l.iv, 4 * m->to);
  if (r->n) store_lanes(g, y, to, 0, r->n);
  else store_f32(g, y, to, 0);
  loop_end(g, &l);
}

static void norm_lines(Gen *g, const void *ctx, Val *p, int n) {
  const Norm *m = ctx;
  Rows r = { m, p[0], p[1], NULL, NULL, n };
  if (m->to == 1 && m->from == 1) row_along(g, &r);
  else rows_across(g, &r);
}

/* gamma and beta are read as rows of their own. */
static Val operand(Gen *g, const Node *n, int i) {
  int64_t s[MAX_RANK];
  if (i >= n->nin || !n->in[i]) return NULL;
  value_strides(n->in[i], s);
  ensure(n->in[i]->type.dim[0] == 1 || s[0] == 1);
  return value_ptr(g, n->in[i]);
}

void emit_normalize(Gen *g, const Node *n) {
  Nest t;
  int axis = n->type.rank - 1;
  if (type_elems(&n->type) == 0) return;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  Norm m = { t.dim[axis], t.arg[0].stride[axis], t.arg[1].stride[axis],
             attr_float(n, "eps"), attr_bool(n, "center"), operand(g, n, 1),
             operand(g, n, 2) };
  if (m.n == 1) m.to = m.from = 1;
  bool along = m.to == 1 && m.from == 1;
  nest_lines(g, &t, axis, !along, norm_lines, &m);
  clear_halo(g, n);
}
