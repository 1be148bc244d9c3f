/* weigh.c - what each kernel that could compute a layer would take, by the
 * model of choose.c and what comes from beyond the second cache: for reports.
 * source     bench/kernels --model compares it with measured times */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"

/* A layer and its weight as a matrix. */
typedef struct Layer {
  const Target *t;
  const Node *n;
  const float *w;
  int64_t rows, columns, groups;
  Arena *scratch;
} Layer;

static double us_of(const Layer *l, double half_cycles) {
  return half_cycles / 2 / (1e3 * family_of(l->t)->ghz);
}

/* Bytes a cycle from the second cache, by what a kernel does with them. */
static const double near_stream = 27;

/* In us, for what the second cache does not hold of a layer's weights and
 * its maps. */
static double far_us(const Layer *l, double weights) {
  double maps = (double)(type_elems(&l->n->in[0]->type) +
                         type_elems(&l->n->type));
  return us_of(l, 2 * far_cycles(family_of(l->t), weights + 4 * maps));
}

/* Bytes of a stored value of a table, its column included. */
static double value_bytes(const Layer *l, int h) {
  return (double)elem_size(type_stored(&l->n->in[1]->type)) + 2.0 / h;
}

/* Rows of the blocks that a weight is packed in; 0: any could be. */
static int height_packed(const Node *n) {
  const Sparse *w = n->in[1]->type.sparse;
  return w && !w->n && w->br > 1 ? w->br : 0;
}

static bool height_tried(const Layer *l, int h) {
  int packed = height_packed(l->n);
  return l->rows % h == 0 && (h == 1 || !packed || packed == h);
}

static Alternative make(const char *kernel, double us) {
  return (Alternative){ .kernel = kernel, .us = us };
}

/* Lanes that outputs take by those that they fill. */
static double lanes_idle(int64_t outputs, int64_t lanes) {
  return (double)((outputs + lanes - 1) / lanes * lanes) / (double)outputs;
}

/* N of each 4 columns, by the time of dense, on x rows; 1 if it is one. */
static int runs_make(const Layer *l, int64_t x, double dense_us,
                     Alternative *out) {
  const Type *t = &l->n->in[1]->type;
  int64_t all = l->rows * l->columns;
  int n = l->t->lanes >= 8 && runs_fit(t, 1) ? runs_most(l->w, all) : 0;
  if (n < 1 || n > 2) return 0;
  *out = make("linear_nm", dense_us * runs_cost(x) * n / RUN_COLUMNS);
  if (linear_dots(l->t, x, l->rows, l->columns))
    out->us *= lanes_idle(l->rows, l->t->lanes);
  return 1;
}

/* ---- over planes ------------------------------------------------------ */

static double table_us(const Layer *l, TableWork work, int h) {
  int tile[2];
  int64_t *blocks = arena_array(l->scratch, int64_t, (size_t)(l->rows / h));
  double stored = (double)(h * unit_counts(l->w, l->rows, l->columns, h,
                                           blocks));
  work.height = h;
  work.units = l->rows / h;
  work.blocks = blocks;
  table_cross(&work);
  double time = table_tile(&work, l->t->vregs, tile);
  return time < 0 ? -1 : us_of(l, time) + far_us(l, stored *
                                                 value_bytes(l, h));
}

static double pair_us(const Layer *l, TableWork work) {
  int tile[2];
  int64_t *blocks = arena_array(l->scratch, int64_t, (size_t)l->rows);
  double stored = (double)unit_counts(l->w, l->rows, l->columns, 1, blocks);
  work.blocks = blocks;
  return us_of(l, pair_tile(&work, l->t->vregs, tile)) +
         far_us(l, stored * value_bytes(l, 1));
}

static double dense_us(const Layer *l, const TableWork *work) {
  double bytes = (double)(l->rows * l->columns) *
                 (double)elem_size(type_stored(&l->n->in[1]->type));
  return us_of(l, dense_time(work)) + far_us(l, bytes);
}

/* The two that convolutions have, the faster first. */
static int dense_kernels(const Layer *l, Alternative *out) {
  static const char *const kernels[] = { "conv2d_dense", "conv2d_channels" };
  int tile[2], n = sizeof kernels / sizeof *kernels;
  double bytes = (double)(l->rows * l->columns) *
                 (double)elem_size(type_stored(&l->n->in[1]->type));
  for (int i = 0; i < n; i++)
    out[i] = make(kernels[i], us_of(l, 2 * dense_tile(l->t, l->n, kernels[i],
                                                      tile)));
  /* The other asks for its weights ahead. */
  out[0].us += far_us(l, bytes);
  if (out[1].us >= out[0].us) return n;
  Alternative other = out[0];
  out[0] = out[1], out[1] = other;
  return n;
}

static double code_us(const Layer *l, const TableWork *work) {
  CodeWork code = pattern_work(l->t, l->n, l->w, work);
  return us_of(l, code_time(&code)) + far_us(l, 4 * (double)code.products);
}

static const char *code_cannot(const Layer *l, bool flat) {
  const Node *b = node_in(l->n, 2);
  if (l->t->lanes != 16 || strcmp(l->t->arch, "x86_64") != 0)
    return "needs AVX-512";
  if (l->n->in[1]->type.stored) return "it reads weights of f32";
  if (!flat) return "pixels lie on no single line of vectors";
  if (b && b->op != OP_PARAM) return "the bias is computed";
  return NULL;
}

static int over_planes(const Layer *l, const TableWork *work, bool flat,
                       Alternative *out) {
  bool linear = l->n->op == OP_LINEAR;
  int n = 0;
  TableWork one = *work;
  one.height = 1, one.units = l->rows;
  n += linear ? 1 : dense_kernels(l, out);
  if (linear) out[0] = make("linear_dense", dense_us(l, &one));
  if (l->groups > 1) return n;
  Alternative best = make(linear ? "linear_bsr" : "conv2d_bsr", -1);
  for (int i = 1; i < BLOCK_HEIGHTS; i++) {
    if (!height_tried(l, block_heights[i])) continue;
    double us = table_us(l, *work, block_heights[i]);
    if (us >= 0 && (best.us < 0 || us < best.us)) best.us = us;
  }
  if (best.us >= 0) out[n++] = best;
  out[n++] = make(linear ? "linear_csr" : "conv2d_csr",
                  table_us(l, *work, 1));
  out[n] = make(linear ? "linear_code" : "conv2d_code", code_us(l, &one));
  out[n++].why_not = code_cannot(l, flat);
  out[n++] = make(linear ? "linear_pair" : "conv2d_pair", pair_us(l, one));
  return n;
}

/* ---- over rows -------------------------------------------------------- */

/* What a dense layer takes on x rows, with weights from where they are or
 * from the second cache, which tables are relative to. */
static double rows_dense_us(const Layer *l, int64_t x, bool near) {
  const Family *f = family_of(l->t);
  double all = (double)(l->rows * l->columns);
  double bytes = (double)elem_size(type_stored(&l->n->in[1]->type)) * all;
  double half = 1.05 * (double)x * all / l->t->lanes;
  half += 2 * unpack_cycles(l->t, &l->n->in[1]->type) * all / l->t->lanes;
  double cycles = near ? bytes * weights_cycles(f, 1)
                       : weights_cycles(f, bytes);
  return us_of(l, fmax(half, 2 * cycles));
}

static double rows_table_us(const Layer *l, int64_t x, int i, int lanes) {
  int h = block_heights[i];
  double all = (double)(l->rows * l->columns);
  int64_t *blocks = arena_array(l->scratch, int64_t, (size_t)(l->rows / h));
  double stored = (double)(h * unit_counts(l->w, l->rows, l->columns, h,
                                           blocks));
  double near = rows_dense_us(l, x, true) * rows_cost(x, lanes, i) * stored /
                all;
  if (linear_dots(l->t, x, l->rows, l->columns))
    near *= dots_cost(x, l->rows, l->t->lanes, i);
  double bytes = stored * value_bytes(l, h);
  if (x > 2) return near + far_us(l, bytes);
  return fmax(near, us_of(l, 2 * weights_cycles(family_of(l->t), bytes)));
}

static int over_rows(const Layer *l, Alternative *out) {
  int64_t x = type_elems(&l->n->type) / l->rows;
  bool perm = perm_takes(l->t, l->n) &&
              strcmp(l->n->kernel, "linear_csr") != 0;
  int n = 0;
  out[n++] = make("linear_dense", rows_dense_us(l, x, false));
  Alternative best = make("linear_bsr", -1);
  for (int i = 0; i < BLOCK_HEIGHTS; i++) {
    if (!height_tried(l, block_heights[i])) continue;
    bool lanes = i > 0 || perm;
    double us = rows_table_us(l, x, i, lanes ? l->t->lanes : 4);
    if (i == 0) out[n++] = make(perm ? "linear_perm" : "linear_csr", us);
    else if (best.us < 0 || us < best.us) best.us = us;
  }
  if (best.us >= 0) out[n++] = best;
  return n + runs_make(l, x, rows_dense_us(l, x, true), out + n);
}

/* ---- all -------------------------------------------------------------- */

/* Why a kernel that the model finds faster than what was taken was not;
 * `gain`: clearly so. */
static const char *reason(const Module *m, const Alternative *a, bool gain,
                          bool told) {
  bool code = strstr(a->kernel, "_code") != NULL;
  const char *sparsity = m->dump.sparsity;
  bool dense = strstr(a->kernel, "_dense") || strstr(a->kernel, "_channels");
  if (!dense && sparsity &&
      strcmp(sparsity, "off") == 0)
    return "--sparsity=off";
  if (told) return "slower when it was measured";
  if (code && m->dump.opt == 0) return "no code for patterns at -O0";
  if (code && m->dump.opt == 4) return "no code for patterns at -Os";
  return code && gain ? "the code budget is spent" : "no clear gain";
}

/* Mark what was taken, and say why the others were not. */
static void reasons(const Module *m, const Node *n, bool told,
                    Alternative *all, int count) {
  double taken = -1;
  for (int i = 0; i < count; i++) {
    all[i].taken = strcmp(all[i].kernel, n->kernel) == 0;
    if (all[i].taken) taken = all[i].us;
  }
  for (int i = 0; i < count; i++) {
    Alternative *a = &all[i];
    if (a->taken || a->why_not) continue;
    a->why_not = taken < 0 || a->us >= taken ? "slower"
                 : reason(m, a, a->us < CODE_GAIN * taken, told);
  }
}

int node_alternatives(Arena *scratch, Module *m, const Target *t,
                      const Choices *told, const Node *n,
                      Alternative out[ALTERNATIVES_MOST]) {
  bool conv = n->op == OP_CONV2D;
  if ((!conv && n->op != OP_LINEAR) || !n->kernel ||
      n->in[1]->op != OP_PARAM || type_elems(&n->type) <= 0 ||
      type_elems(&n->in[1]->type) <= 0)
    return 0;
  Layer l = {t, n, param_values(m, n->in[1]->param), .scratch = scratch};
  const Type *w = &n->in[1]->type;
  if (!l.w) return 0;
  l.groups = conv ? attr_int(n, "groups") : 1;
  l.rows = w->dim[0];
  l.columns = type_elems(w) / l.rows;
  TableWork work;
  bool flat;
  int count;
  if (strcmp(n->kernel, "conv2d_depthwise") == 0 ||
      strcmp(n->kernel, "conv2d_plain") == 0)
    return 0;
  if (node_shape_work(t, n, &work, &flat))
    count = over_planes(&l, &work, flat, out);
  else if (!conv)
    count = over_rows(&l, out);
  else
    return 0;
  reasons(m, n, choice_of(told, n) != NULL, out, count);
  return count;
}

int64_t node_code_bytes(Module *m, const Target *t, const Node *n) {
  TableWork work;
  bool flat;
  if (!n->kernel || !strstr(n->kernel, "_code") ||
      !node_shape_work(t, n, &work, &flat))
    return 0;
  CodeWork code = pattern_work(t, n, param_values(m, n->in[1]->param), &work);
  return code_size(&code);
}

/* How much of two products a cycle a depthwise kernel reaches, lanes that
 * come to nothing among them, by its stride, 1 or more; [1] where a vector
 * has 16 lanes, whose shuffles take the place of products. */
static const double depthwise_part[2][2] = {{0.75, 0.57}, {0.6, 0.45}};

/* Cycles a channel: its weights, the halo of its plane. */
static const double plane_cycles = 8;

/* Cycles of a depthwise kernel whose operands are near.  Rows end with a
 * vector or a part of 4 lanes. */
static double depthwise_cycles(const Target *t, const Node *n, double macs) {
  int64_t w = n->type.dim[3], planes = n->type.dim[0] * n->type.dim[1];
  bool strided = attr_ints(n, "stride", NULL)[1] > 1;
  double lanes = (double)((w + 3) / 4 * 4) / fmax((double)w, 1);
  return macs * lanes / depthwise_part[t->lanes >= 16][strided] +
         plane_cycles * (double)planes;
}

double node_us(Module *m, const Target *t, const Node *n) {
  const Family *f = family_of(t);
  Cost c = node_cost(m, n);
  bool sparse = n->nin > 1 && n->in[1] && n->in[1]->type.sparse;
  double macs = (double)(sparse ? c.nonzero_macs : c.macs) / (2.0 * t->lanes);
  double near = fmin((double)c.bytes, (double)f->second_bytes) / near_stream;
  if (n->kernel && strcmp(n->kernel, "conv2d_depthwise") == 0)
    macs = depthwise_cycles(t, n, macs);
  return (fmax(macs, near) + far_cycles(f, (double)c.bytes)) /
         (1e3 * f->ghz);
}

/* ---- a whole net ----------------------------------------------------- */

/* Of what was taken, as reports have it. */
static double node_taken_us(Arena *scratch, Module *m, const Target *t,
                            const Choices *told, const Node *n) {
  Alternative all[ALTERNATIVES_MOST];
  int count = n->kernel ? node_alternatives(scratch, m, t, told, n, all) : 0;
  for (int i = 0; i < count; i++)
    if (all[i].taken) return all[i].us;
  return node_us(m, t, n);
}

/* Does anything but code for its pattern read the param? */
static bool param_is_read(const Module *m, const Param *p) {
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++) {
      const Node *n = f->nodes.at[k];
      bool code = n->kernel && strstr(n->kernel, "_code");
      for (int j = 0; j < n->nin; j++)
        if (n->in[j] && n->in[j]->op == OP_PARAM && n->in[j]->param == p &&
            !(code && j == 1))
          return true;
    }
  }
  return false;
}

static int64_t weights_bytes(Module *m, const Target *t) {
  int64_t all = 0;
  for (size_t i = 0; i < m->params.n; i++)
    if (param_is_read(m, m->params.at[i]))
      all += param_bytes(m->params.at[i]);
  for (size_t i = 0; i < m->funcs.n; i++)
    for (size_t k = 0; k < m->funcs.at[i]->nodes.n; k++)
      all += node_code_bytes(m, t, m->funcs.at[i]->nodes.at[k]);
  return all;
}

Prediction module_predict(Module *m, const Target *t, const Choices *told) {
  Arena *a = arena_new();
  size_t n;
  Func **order = funcs_bottom_up(a, m, &n);
  double *us = arena_array(a, double, m->funcs.n);
  for (size_t k = 0; k < n; k++)
    for (size_t i = 0; i < order[k]->nodes.n; i++) {
      const Node *x = order[k]->nodes.at[i];
      const Func *to = node_callee(m, x);
      if (op_info(x->op)->flags & FLAG_LEAF || x->op == OP_ITEM) continue;
      double one = to ? us[func_index(m, to)] : node_taken_us(a, m, t, told, x);
      if (x->op == OP_SCAN) one *= (double)scan_steps(x);
      us[func_index(m, order[k])] += one;
    }
  Prediction p = {us[0], weights_bytes(m, t)};
  arena_free(a);
  return p;
}
