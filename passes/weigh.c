/* weigh.c - what each kernel that could compute a layer would take, by the
 * model of choose.c: for reports. */
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

static int by_size(const void *pa, const void *pb) {
  int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;
  return a < b ? 1 : a > b ? -1 : 0;
}

/* Blocks of h rows that are not empty, of each unit, the fullest first; all
 * of them. */
static int64_t units_count(const Layer *l, int h, int64_t *blocks) {
  int64_t all = 0, units = l->rows / h;
  for (int64_t i = 0; i < units; i++) {
    const float *row = l->w + i * h * l->columns;
    for (int64_t k = 0; k < l->columns; k++) {
      int r = 0;
      while (r < h && row[r * l->columns + k] == 0) r++;
      blocks[i] += r < h;
    }
    all += blocks[i];
  }
  qsort(blocks, (size_t)units, sizeof *blocks, by_size);
  return all;
}

static Alternative make(const char *kernel, double us) {
  return (Alternative){ .kernel = kernel, .us = us };
}

/* N of each 4 columns, by the time of dense; 1 if it is one. */
static int runs_make(const Layer *l, double dense_us, Alternative *out) {
  const Type *t = &l->n->in[1]->type;
  Weight w = {.op = l->n->op, .outputs = l->rows, .lanes = l->t->lanes};
  w.all = l->rows * l->columns;
  w.results = type_elems(&l->n->type);
  w.rows = w.op == OP_LINEAR ? w.results / l->rows : 0;
  int n = l->t->lanes >= 8 && runs_fit(t, 1) ? runs_most(l->w, w.all) : 0;
  double cost = runs_cost(&w);
  if (n < 1 || n > 2 || cost == HUGE_VAL) return 0;
  *out = make(w.op == OP_LINEAR ? "linear_nm" : "conv2d_nm",
              dense_us * cost * n / RUN_COLUMNS);
  return 1;
}

/* ---- over planes ------------------------------------------------------ */

static double table_us(const Layer *l, TableWork work, int h) {
  int tile[2];
  int64_t *blocks = arena_array(l->scratch, int64_t, (size_t)(l->rows / h));
  units_count(l, h, blocks);
  work.height = h;
  work.units = l->rows / h;
  work.blocks = blocks;
  return us_of(l, table_tile(&work, l->t->vregs, tile));
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
  bool channels = strcmp(l->n->kernel, "conv2d_channels") == 0;
  out[n++] = make(linear ? "linear_dense"
                         : channels ? "conv2d_channels" : "conv2d_dense",
                  us_of(l, dense_time(&one)));
  if (l->groups > 1) return n;
  Alternative best = make(linear ? "linear_bsr" : "conv2d_bsr", -1);
  for (int i = 1; i < BLOCK_HEIGHTS; i++) {
    if (l->rows % block_heights[i]) continue;
    double us = table_us(l, *work, block_heights[i]);
    if (us >= 0 && (best.us < 0 || us < best.us)) best.us = us;
  }
  if (best.us >= 0) out[n++] = best;
  out[n++] = make(linear ? "linear_csr" : "conv2d_csr",
                  table_us(l, *work, 1));
  CodeWork code = pattern_work(l->t, l->n, l->w, &one);
  out[n] = make(linear ? "linear_code" : "conv2d_code",
                us_of(l, code_time(&code)));
  out[n++].why_not = code_cannot(l, flat);
  return n + runs_make(l, out[0].us, out + n);
}

/* ---- over rows -------------------------------------------------------- */

static int over_rows(const Layer *l, Alternative *out) {
  int64_t x = type_elems(&l->n->type) / l->rows;
  double all = (double)(l->rows * l->columns);
  /* A product, or the weights as they stream in. */
  double bytes = (double)elem_size(type_stored(&l->n->in[1]->type));
  double half = 1.05 * (double)x * all / l->t->lanes;
  double stream = 2 * bytes * all / 27;
  double dense = us_of(l, half > stream ? half : stream);
  bool perm = l->t->lanes == 16 && strcmp(l->t->arch, "x86_64") == 0 &&
              strcmp(l->n->kernel, "linear_csr") != 0;
  int n = 0;
  out[n++] = make("linear_dense", dense);
  Alternative best = make("linear_bsr", -1);
  for (int i = 0; i < BLOCK_HEIGHTS; i++) {
    int h = block_heights[i];
    if (l->rows % h) continue;
    int64_t *blocks = arena_array(l->scratch, int64_t,
                                  (size_t)(l->rows / h));
    double stored = (double)(units_count(l, h, blocks) * h);
    double us = dense * rows_cost(x, l->t->lanes, i) * stored / all;
    if (h == 1) out[n++] = make(perm ? "linear_perm" : "linear_csr", us);
    else if (best.us < 0 || us < best.us) best.us = us;
  }
  if (best.us >= 0) out[n++] = best;
  return n + runs_make(l, dense, out + n);
}

/* ---- all -------------------------------------------------------------- */

/* Mark what was taken, and say why the others were not. */
static void reasons(const Node *n, Alternative *all, int count) {
  double taken = -1;
  for (int i = 0; i < count; i++) {
    all[i].taken = strcmp(all[i].kernel, n->kernel) == 0;
    if (all[i].taken) taken = all[i].us;
  }
  for (int i = 0; i < count; i++) {
    Alternative *a = &all[i];
    if (a->taken || a->why_not) continue;
    bool code = strstr(a->kernel, "_code") != NULL;
    a->why_not = taken < 0 || a->us >= taken ? "slower"
                 : code && a->us < CODE_GAIN * taken ? "the code budget is spent"
                                                     : "no clear gain";
  }
}

int node_alternatives(Arena *scratch, Module *m, const Target *t,
                      const Node *n, Alternative out[ALTERNATIVES_MOST]) {
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
  reasons(n, out, count);
  return count;
}

double node_us(Module *m, const Target *t, const Node *n) {
  Cost c = node_cost(m, n);
  double macs = (double)c.macs / (2.0 * t->lanes);
  double bytes = (double)c.bytes / 27;
  return (macs > bytes ? macs : bytes) / (1e3 * family_of(t)->ghz);
}
