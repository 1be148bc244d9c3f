/* adapters.c - the recipe's verb `fuse_adapters`: what structured pruning
 * adapters have learnt goes into the weights.
 *
 *   fuse_adapters SELECTORS with method=splora, adapters="net.safetensors";
 *
 * requires   for each selected layer L the file's tensors, as f32:
 *            splora   L.up [M,r], L.down [r,K]
 *            sppara   L.adapter [M,K]
 *            splopa   L.positions [n,M/p,K/q] with up [n,p], down [n,q], which
 *                     all layers share
 *            and, where there are some, L.mask_out [M] and L.mask_in [K], of
 *            splopa L.mask [M/p,K/q]; K counts channels of a group
 * preserves  the graph.  W + up down (or W + adapter, W + the sum over n of
 *            positions[n] (x) up[n]' down[n]) at the centre tap of a kernel
 *            with odd sizes; rows and columns whose mask is 0 become 0, biases
 *            of such rows as well
 * source     Hedegaard et al., 2022 (structured pruning adapters) */
#include <math.h>
#include <string.h>

#include "passes/prune.h"
#include "passes/verb.h"

typedef enum { NO_METHOD, SPLORA, SPPARA, SPLOPA } Method;
typedef struct AdapterArgs {
  Method method;
  const char *path;
} AdapterArgs;

typedef struct Adapters {
  PassCtx *c;
  const RecipeStep *s;
  AdapterArgs a;
  Arena *arena;
  FileTensor *tensors;
  size_t n;
} Adapters;

/* ---- arguments ------------------------------------------------------- */

static const char *parse_method(const Attr *v, void *args) {
  static const char *const names[] = {
    [SPLORA] = "splora", [SPPARA] = "sppara", [SPLOPA] = "splopa",
  };
  for (int i = SPLORA; v->kind == ATTR_STR && i <= SPLOPA; i++)
    if (strcmp(v->s, names[i]) == 0) {
      ((AdapterArgs *)args)->method = (Method)i;
      return NULL;
    }
  return "splora, sppara or splopa";
}

static const char *parse_adapters(const Attr *v, void *args) {
  ((AdapterArgs *)args)->path = v->s;
  return v->kind == ATTR_STR && *v->s ? NULL : "a file of weights";
}

static bool adapter_args(Adapters *x) {
  static const VerbArg rows[] = {
    {"method", parse_method}, {"adapters", parse_adapters},
  };
  PassCtx *c = x->c;
  if (!verb_args(c, x->s, rows, sizeof rows / sizeof *rows, &x->a))
    return false;
  if (!x->a.method || !x->a.path)
    return diag_error(c->d, EXIT_MODEL, x->s->span, "fuse_adapters: expected "
                      "%s", x->a.method ? "adapters=, a file of weights"
                                        : "method=splora, sppara or splopa");
  if (!c->tensors)
    return diag_error(c->d, EXIT_UNSUPPORTED, x->s->span,
                      "fuse_adapters: nothing here reads files");
  return c->tensors(c->tensors_ctx, x->a.path, x->arena, &x->tensors, &x->n);
}

/* ---- tensors of a layer ---------------------------------------------- */

/* A weight as [rows][cols] of each tap; value (r, c) at the centre. */
typedef struct Layer {
  Param *p;
  LayerUses uses;
  const char *path;
  int64_t rows, cols, taps, centre;
  bool transposed;
} Layer;

static int64_t at_centre(const Layer *l, int64_t r, int64_t c) {
  return l->transposed ? c * l->rows + r
                       : (r * l->cols + c) * l->taps + l->centre;
}

static const FileTensor *tensor_find(const Adapters *x, const char *name) {
  for (size_t i = 0; i < x->n; i++)
    if (strcmp(x->tensors[i].name, name) == 0) return &x->tensors[i];
  return NULL;
}

/* "layer.leaf", or what all layers share; -1 is any size.  NULL after an
 * error, unless it may be missing. */
static const FileTensor *tensor_of(const Adapters *x, const Layer *l,
                                   const char *leaf, bool shared, bool may,
                                   int rank, const int64_t *dim, bool *ok) {
  const char *name = shared ? leaf : arena_printf(x->arena, "%s.%s", l->path,
                                                  leaf);
  const FileTensor *t = tensor_find(x, name);
  Text want = {0}, found = {0};
  bool fits = t && t->type.rank == rank;
  text_puts(&want, "f32[");
  for (int i = 0; i < rank; i++) {
    fits = fits && (dim[i] < 0 ? t->type.dim[i] > 0
                               : t->type.dim[i] == dim[i]);
    text_printf(&want, dim[i] < 0 ? "%s?" : "%s%lld", i ? "," : "",
                (long long)dim[i]);
  }
  text_putc(&want, ']');
  if (t) type_print(&found, &t->type);
  if (!fits && (t || !may))
    *ok = diag_error(x->c->d, EXIT_FILE, x->s->span, "fuse_adapters: %s: "
                     "expected '%s' %s in %s, found %s", l->p->path, name,
                     want.s, x->a.path, t ? found.s : "none");
  for (int64_t i = 0; fits && i < type_elems(&t->type); i++)
    if (!isfinite(t->v[i]))
      *ok = fits = diag_error(x->c->d, EXIT_FILE, x->s->span,
                              "fuse_adapters: '%s' in %s: expected finite "
                              "values, found %s at number %lld", name,
                              x->a.path, isnan(t->v[i]) ? "NaN" : "inf",
                              (long long)i);
  text_free(&want);
  text_free(&found);
  return fits ? t : NULL;
}

/* Everything that a layer's method takes; NULL: the file has none. */
typedef struct Parts {
  const FileTensor *up, *down, *adapter, *positions;
  const FileTensor *out, *in, *blocks;
  int64_t p, q;              /* of splopa: sizes of a block */
} Parts;

static bool parts_splora(const Adapters *x, const Layer *l, Parts *t) {
  bool ok = true;
  t->up = tensor_of(x, l, "up", false, false, 2,
                    (int64_t[]){l->rows, -1}, &ok);
  int64_t rank = t->up ? t->up->type.dim[1] : -1;
  t->down = tensor_of(x, l, "down", false, false, 2,
                      (int64_t[]){rank, l->cols}, &ok);
  return ok;
}

static bool parts_splopa(const Adapters *x, const Layer *l, Parts *t) {
  bool ok = true;
  t->up = tensor_of(x, l, "up", true, false, 2, (int64_t[]){-1, -1}, &ok);
  int64_t n = t->up ? t->up->type.dim[0] : -1;
  t->down = tensor_of(x, l, "down", true, false, 2, (int64_t[]){n, -1}, &ok);
  if (!ok) return false;
  t->p = t->up->type.dim[1], t->q = t->down->type.dim[1];
  if (l->rows % t->p || l->cols % t->q)
    return diag_error(x->c->d, EXIT_MODEL, x->s->span, "fuse_adapters: %s: "
                      "expected a multiple of %lldx%lld, found %lldx%lld",
                      l->p->path, (long long)t->p, (long long)t->q,
                      (long long)l->rows, (long long)l->cols);
  int64_t grid[] = {n, l->rows / t->p, l->cols / t->q};
  t->positions = tensor_of(x, l, "positions", false, false, 3, grid, &ok);
  t->blocks = tensor_of(x, l, "mask", false, true, 2, grid + 1, &ok);
  return ok;
}

static bool parts_read(const Adapters *x, const Layer *l, Parts *t) {
  bool ok = true;
  *t = (Parts){0};
  if (x->a.method == SPLOPA) return parts_splopa(x, l, t);
  if (x->a.method == SPLORA) ok = parts_splora(x, l, t);
  else
    t->adapter = tensor_of(x, l, "adapter", false, false, 2,
                           (int64_t[]){l->rows, l->cols}, &ok);
  t->out = tensor_of(x, l, "mask_out", false, true, 1, &l->rows, &ok);
  t->in = tensor_of(x, l, "mask_in", false, true, 1, &l->cols, &ok);
  return ok;
}

/* ---- layers ---------------------------------------------------------- */

static bool layer_wrong(const Adapters *x, const Param *p, const char *why) {
  return diag_error(x->c->d, EXIT_MODEL, x->s->span, "fuse_adapters: %s: %s",
                    p->path, why);
}

static bool layer_read(const Adapters *x, Param *p, Layer *l) {
  const Type *t = &p->type;
  *l = (Layer){.p = p, .taps = 1};
  const char *why = layer_uses_of(x->arena, x->c->m, p, &l->uses);
  if (why) return layer_wrong(x, p, why);
  l->transposed = layer_is_transposed(l->uses.at[0].n);
  l->rows = t->dim[l->transposed];
  l->cols = t->dim[!l->transposed];
  for (int i = 2; i < t->rank; i++) {
    if (t->dim[i] % 2 == 0)
      return layer_wrong(x, p, "its kernel has no centre: expected odd sizes");
    l->taps *= t->dim[i];
  }
  l->centre = l->taps / 2;
  const char *dot = strrchr(p->path, '.');
  bool leaf = dot && strcmp(dot, ".weight") == 0;
  l->path = leaf ? arena_strndup(x->arena, p->path, (size_t)(dot - p->path))
                 : p->path;
  return true;
}

static bool step_open(Adapters *x, PassCtx *c, const RecipeStep *s) {
  *x = (Adapters){.c = c, .s = s, .arena = arena_new()};
  return step_finite(c, s) && adapter_args(x);
}

bool check_adapters(PassCtx *c, const RecipeStep *s) {
  Adapters x;
  bool ok = step_open(&x, c, s);
  for (size_t i = 0; ok && i < s->params.n; i++) {
    Layer l;
    Parts t;
    ok &= layer_read(&x, s->params.at[i], &l) && parts_read(&x, &l, &t);
  }
  arena_free(x.arena);
  return ok;
}

/* ---- fusing ---------------------------------------------------------- */

/* What is added at the centre of (r, c). */
static double added(const Parts *t, int64_t cols, int64_t r, int64_t c) {
  double sum = 0;
  if (t->adapter) return t->adapter->v[r * cols + c];
  if (!t->positions) {
    int64_t rank = t->up->type.dim[1];
    for (int64_t i = 0; i < rank; i++)
      sum += (double)t->up->v[r * rank + i] * t->down->v[i * cols + c];
    return sum;
  }
  const int64_t *d = t->positions->type.dim;
  for (int64_t i = 0; i < d[0]; i++)
    sum += (double)t->positions->v[(i * d[1] + r / t->p) * d[2] + c / t->q] *
           t->up->v[i * t->p + r % t->p] * t->down->v[i * t->q + c % t->q];
  return sum;
}

static bool gone(const Parts *t, int64_t cols, int64_t r, int64_t c) {
  if (t->blocks)
    return t->blocks->v[r / t->p * (cols / t->q) + c / t->q] == 0;
  return (t->out && t->out->v[r] == 0) || (t->in && t->in->v[c] == 0);
}

static void weight_fuse(const Layer *l, const Parts *t, const float *w,
                        float *to) {
  memcpy(to, w, (size_t)(l->rows * l->cols * l->taps) * sizeof *to);
  for (int64_t r = 0; r < l->rows; r++)
    for (int64_t c = 0; c < l->cols; c++) {
      float *at = to + at_centre(l, r, c);
      *at = (float)(*at + added(t, l->cols, r, c));
      if (!gone(t, l->cols, r, c)) continue;
      for (int64_t i = 0; i < l->taps; i++) at[i - l->centre] = 0;
    }
}

/* Outputs that are masked are zero: their biases go, too. */
static void bias_mask(const Adapters *x, const Layer *l, const Parts *t) {
  Module *m = x->c->m;
  const LayerUse *use = &l->uses.at[0];
  Param *bias = t->out ? layer_bias(m, use->f, use->n, l->p) : NULL;
  const float *b = bias ? param_values(m, bias) : NULL;
  if (!b) return;
  Buffer *to = buffer_new((size_t)l->rows * sizeof *b);
  float *v = (float *)(void *)to->data;
  for (int64_t r = 0; r < l->rows; r++) v[r] = t->out->v[r] == 0 ? 0 : b[r];
  param_set_data(bias, to);
}

static bool layer_fuse(const Adapters *x, Param *p) {
  Layer l;
  Parts t;
  if (!layer_read(x, p, &l) || !parts_read(x, &l, &t)) return false;
  Buffer *to = buffer_new((size_t)type_bytes(&p->type));
  weight_fuse(&l, &t, param_values(x->c->m, p), (float *)(void *)to->data);
  param_set_data(p, to);
  bias_mask(x, &l, &t);
  verb_note(x->c, x->s, p->path, "%lld of %lld values are not 0",
            (long long)param_nonzeros(x->c->m, p),
            (long long)type_elems(&p->type));
  return true;
}

bool verb_adapters(PassCtx *c, const RecipeStep *s) {
  Adapters x;
  bool ok = step_open(&x, c, s);
  for (size_t i = 0; ok && i < s->params.n; i++)
    ok = layer_fuse(&x, s->params.at[i]);
  arena_free(x.arena);
  return ok;
}
