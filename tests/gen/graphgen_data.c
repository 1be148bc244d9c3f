/* graphgen_data.c - weights and inputs of random models. */
#include <math.h>
#include <string.h>

#include "tests/gen/graphgen.h"

typedef enum { SCATTERED, BLOCKS, RUNS, ROWS, PATTERNS } Pattern;

/* Draws in [0,1) from a stream of the seed and a name. */
typedef struct Stream {
  const char *name;
  uint64_t seed, at;
} Stream;

static double draw(Stream *s) {
  return random_unit(s->name, s->seed, s->at++);
}

/* What the role in a param's name asks for: v variance, g and s factors,
 * c a scale of about one, others spread by their fan-in. */
static double value_of(Stream *s, bool ints, char role, double reach) {
  double u = 2 * draw(s) - 1;
  if (ints) return nearbyint(u * 2.4);
  if (role == 'v') return 1.25 + 0.75 * u;
  if (role == 'g') return 1 + 0.5 * u;
  return u * reach;
}

/* One or two of each four columns, or fewer. */
static bool run_kept(const char *name, uint64_t seed, int64_t row,
                     int64_t col, int64_t cols) {
  int n = 1 + (random_unit(name, ~seed, 2) < 0.5), before = 0;
  uint64_t first = (uint64_t)(row * cols + col / 4 * 4) + 100;
  double own = random_unit(name, ~seed, first + (uint64_t)(col % 4));
  for (uint64_t i = 0; i < 4; i++)
    before += random_unit(name, ~seed, first + i) < own;
  return before < n && own < 0.9;
}

/* Which elements of a [rows, cols] matrix stay; blocks are of 4, 8 or 16
 * rows. */
static bool kept(const char *name, uint64_t seed, Pattern p, double density,
                 int64_t row, int64_t col, int64_t cols) {
  if (density >= 1) return true;
  int64_t height = 4 << (int)(3 * random_unit(name, ~seed, 2));
  if (p == RUNS) return run_kept(name, seed, row, col, cols);
  int64_t unit = p == ROWS ? row : p == BLOCKS ? row / height * cols + col
                                               : row * cols + col;
  return random_unit(name, ~seed, (uint64_t)unit + 100) < density;
}

static bool ends(const char *path, const char *end) {
  size_t n = strlen(path), m = strlen(end);
  return n >= m && strcmp(path + n - m, end) == 0;
}

/* p<i>_<role>, or a param of the prelude's layers. */
static char role_of(const Param *p) {
  const char *mark = strrchr(p->path, '_');
  if (mark && mark[1] && !mark[2]) return mark[1];
  if (ends(p->path, "running_var")) return 'v';
  if (ends(p->path, "running_mean")) return 'm';
  if (ends(p->path, "bias")) return 'b';
  return p->type.rank == 1 ? 'g' : 'w';
}

bool graph_provide(void *ctx, Param *p) {
  static const double densities[] = {0, 0.02, 0.1, 0.25, 0.5, 0.9, 1, 1, 1};
  uint64_t seed = *(const uint64_t *)ctx;
  char role = role_of(p);
  int64_t n = type_elems(&p->type), rows = p->type.rank ? p->type.dim[0] : 1;
  int64_t cols = rows ? n / rows : 0;
  double density = densities[(int)(9 * random_unit(p->path, ~seed, 0))];
  Pattern pattern = (Pattern)(PATTERNS * random_unit(p->path, ~seed, 1));
  double reach = role == 'w' && cols > 0 ? sqrt(3 / (double)cols) : 1;
  Elem e = p->type.elem;
  if (role == 'v' || role == 'g') density = 1;
  Stream s = {p->path, seed, 0};
  Buffer *data = buffer_new((size_t)n * elem_size(p->type.elem));
  for (int64_t i = 0; i < n; i++) {
    double v = value_of(&s, graph_integral(seed), role, reach);
    if (!kept(p->path, seed, pattern, density, i / cols, i % cols, cols))
      v = 0;
    if (e == B1) v = v > 0;
    else if (!elem_is_float(e)) v = nearbyint(6 * v);
    elem_store(e, data->data, (size_t)i, v);
  }
  param_set_data(p, data);
  return true;
}

void graph_input(uint64_t seed, size_t index, const Type *t, void *to) {
  char name[32];
  snprintf(name, sizeof name, "input %zu", index);
  Stream s = {name, seed, 0};
  size_t n = (size_t)type_elems(t);
  for (size_t i = 0; i < n; i++) {
    double u = 2 * draw(&s) - 1;
    if (t->elem == B1) elem_store(B1, to, i, u > 0);
    else if (!elem_is_float(t->elem))
      elem_store(t->elem, to, i, nearbyint(u * 6.4));
    else
      elem_store(t->elem, to, i,
                 graph_integral(seed) ? nearbyint(u * 3.4) : 2 * u);
  }
}

Tensor graph_input_tensor(Arena *a, uint64_t seed, size_t index,
                          const Type *t) {
  Tensor x = tensor_new(a, t);
  void *data = arena_alloc(a, (size_t)type_bytes(t) + 8);
  graph_input(seed, index, t, data);
  tensor_read(&x, data);
  return x;
}
