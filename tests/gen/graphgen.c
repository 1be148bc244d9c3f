/* graphgen.c - random models: the random stream, the values there are, the
 * choice of ops, the model's frame. */
#include "tests/gen/graphgen.h"

#include <string.h>

/* ---- random choices ------------------------------------------------- */

static uint64_t next(GraphGen *g) {
  g->state += 0x9E3779B97F4A7C15u;
  return hash_mix(g->state);
}

int64_t gen_below(GraphGen *g, int64_t n) {
  ensure(n > 0);
  return (int64_t)(next(g) % (uint64_t)n);
}

int64_t gen_range(GraphGen *g, int64_t lo, int64_t hi) {
  return lo + gen_below(g, hi - lo + 1);
}

bool gen_chance(GraphGen *g, int percent) {
  return gen_below(g, 100) < percent;
}

int64_t gen_size(GraphGen *g, int64_t max) {
  static const int64_t near[] = {4, 8, 16, 32};
  int64_t n;
  if (g->big && gen_chance(g, 30)) n = gen_range(g, 1, max);
  else if (gen_chance(g, 15)) n = 1;
  else if (gen_chance(g, 40)) n = near[gen_below(g, 4)] + gen_range(g, -1, 1);
  else n = gen_range(g, 1, 12);
  return n > max ? gen_range(g, 1, max) : n;
}

double gen_number(GraphGen *g, char text[32]) {
  if (g->ints) {
    int64_t v = gen_range(g, -3, 3);
    snprintf(text, 32, "%d.0", (int)v);
    return (double)(v < 0 ? -v : v);
  }
  int64_t v = gen_range(g, -2000, 2000);
  double d = (double)v / 1000;
  snprintf(text, 32, "%.3f", d);
  return d < 0 ? -d : d;
}

bool gen_fits(const GraphGen *g, double bound) {
  return bound <= (g->ints ? 0x1p23 : 1e9);
}

/* ---- values --------------------------------------------------------- */

int gen_pick(GraphGen *g, int rank, int min_rank) {
  return gen_pick_of(g, 1u << F32, rank, min_rank);
}

int gen_pick_of(GraphGen *g, uint32_t elems, int rank, int min_rank) {
  int fit[GEN_MAX_VALUES], n = 0;
  for (int i = 0; i < g->nvalues; i++) {
    int r = g->value[i].rank;
    if (!(elems >> g->value[i].elem & 1)) continue;
    if ((rank < 0 || r == rank) && r >= min_rank) fit[n++] = i;
  }
  if (n == 0) return -1;
  return gen_chance(g, 60) ? fit[n - 1] : fit[gen_below(g, n)];
}

int64_t gen_elems(int rank, const int64_t *dim) {
  int64_t n = 1;
  for (int i = 0; i < rank; i++) n *= dim[i];
  return n;
}

void gen_dims(Text *t, int rank, const int64_t *dim) {
  for (int i = 0; i < rank; i++)
    text_printf(t, "%s%lld", i ? "," : "", (long long)dim[i]);
}

static void print_type(Text *t, Elem e, int rank, const int64_t *dim) {
  text_printf(t, "%s[", elem_name(e));
  gen_dims(t, rank, dim);
  text_puts(t, "]");
}

void gen_type(Text *t, const GenValue *v) {
  print_type(t, v->elem, v->rank, v->dim);
}

void gen_param(GraphGen *g, char name[16], const char *elem, char role,
               int rank, const int64_t *dim) {
  snprintf(name, 16, "p%d_%c", g->nparams++, role);
  text_printf(&g->params, "  param %s: %s[", name, elem);
  gen_dims(&g->params, rank, dim);
  text_puts(&g->params, "];\n");
}

static GenValue *value_add(GraphGen *g, Elem e, int rank, const int64_t *dim,
                           double bound) {
  ensure(g->nvalues < GEN_MAX_VALUES && rank <= MAX_RANK);
  GenValue *v = &g->value[g->nvalues++];
  *v = (GenValue){.elem = e, .rank = rank, .bound = bound};
  for (int i = 0; i < rank; i++) v->dim[i] = dim[i];
  return v;
}

int gen_input(GraphGen *g, Elem e, int rank, const int64_t *dim) {
  double bound = e == F32 ? g->ints ? 3 : 2 : e == B1 ? 1 : 6;
  if (g->closed) {
    char name[16];
    gen_param(g, name, elem_name(e), 'i', rank, dim);
    GenValue *p = value_add(g, e, rank, dim, elem_is_float(e) ? 3 : 15);
    strcpy(p->name, name);
    p->state = true;
    return g->nvalues - 1;
  }
  GenValue *v = value_add(g, e, rank, dim, bound);
  v->leaf = true;
  snprintf(v->name, sizeof v->name, "x%d", g->nvalues - 1);
  return g->nvalues - 1;
}

int gen_result(GraphGen *g, const GenValue *v) {
  GenValue *to = value_add(g, v->elem, v->rank, v->dim, v->bound);
  snprintf(to->name, sizeof to->name, "v%d", g->nvalues - 1);
  return g->nvalues - 1;
}

static int value_write(GraphGen *g, Elem e, int rank, const int64_t *dim,
                       double bound, const char *fmt, va_list ap) {
  GenValue *v = value_add(g, e, rank, dim, bound);
  snprintf(v->name, sizeof v->name, "v%d", g->nvalues - 1);
  text_printf(&g->body, "  %s", v->name);
  if (gen_chance(g, 70)) {         /* else inference alone says it */
    text_puts(&g->body, ": ");
    print_type(&g->body, e, rank, v->dim);
  }
  text_puts(&g->body, " = ");
  text_vprintf(&g->body, fmt, ap);
  text_puts(&g->body, ";\n");
  return g->nvalues - 1;
}

int gen_value(GraphGen *g, int rank, const int64_t *dim, double bound,
              const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int v = value_write(g, F32, rank, dim, bound, fmt, ap);
  va_end(ap);
  return v;
}

int gen_value_of(GraphGen *g, Elem e, int rank, const int64_t *dim,
                 double bound, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int v = value_write(g, e, rank, dim, bound, fmt, ap);
  va_end(ap);
  return v;
}

const char *gen_use(GraphGen *g, int v) {
  g->value[v].uses++;
  return g->value[v].name;
}

/* ---- the model ------------------------------------------------------ */

typedef struct Choice {
  bool (*make)(GraphGen *);
  int weight;
} Choice;

static const Choice choices[] = {
    {gen_conv, 30},      {gen_linear, 12},  {gen_unary, 16},
    {gen_binary, 20},    {gen_affine, 4},   {gen_batch_norm, 5},
    {gen_mask, 2},       {gen_reduce, 6},   {gen_softmax, 3},
    {gen_pool, 7},       {gen_reshape, 5},  {gen_permute, 5},
    {gen_expand, 3},     {gen_concat, 7},   {gen_slice, 5},
    {gen_select, 3},     {gen_pad, 5},      {gen_convert, 1},
    {gen_constant, 2},   {gen_idiom, 9},   {gen_layers, 8},
    {gen_resize, 4},     {gen_transpose, 5}, {gen_cast, 8},
    {gen_int_unary, 4},  {gen_int_binary, 6}, {gen_typed_input, 3},
    {gen_compare, 6},    {gen_where, 6},
    {gen_arg, 3},        {gen_argsort, 3},   {gen_cumsum, 3},
    {gen_interleave, 3},
    {gen_flip, 2},       {gen_gather, 5},    {gen_scatter_add, 3},
    {gen_scatter, 3},
    {gen_iota, 2},       {gen_random, 2},    {gen_call, 6},
    {gen_scan, 8},       {gen_state, 6},     {gen_storage, 3},
    {gen_matmul, 6},     {gen_attend, 6},
        {gen_convn, 16},    {gen_convn_transpose, 7},
    {gen_recurrent, 20}, {gen_attention, 12},
};

void gen_op(GraphGen *g) {
  int total = 0;
  size_t n = sizeof choices / sizeof *choices;
  for (size_t i = 0; i < n; i++) total += choices[i].weight;
  for (;;) {
    int64_t r = gen_below(g, total);
    size_t i = 0;
    while (r >= choices[i].weight) r -= choices[i++].weight;
    if (choices[i].make(g)) return;
  }
}

static void shrink(int rank, int64_t *dim, int64_t elems) {
  for (int i = 0; gen_elems(rank, dim) > elems; i = (i + 1) % rank)
    if (dim[i] > 1) dim[i] = (dim[i] + 1) / 2;
}

/* With rows enough for strips. */
static void add_map(GraphGen *g) {
  int64_t dim[4] = {gen_range(g, 1, 2), gen_size(g, 9), gen_range(g, 5, 24),
                    gen_size(g, 25)};
  gen_input(g, F32, 4, dim);
}

static void add_input(GraphGen *g, bool image) {
  int64_t dim[MAX_RANK];
  int rank = image ? 4 : (int)gen_range(g, 1, 5);
  if (image) {
    dim[0] = gen_chance(g, 75) ? 1 : gen_range(g, 2, 3);
    dim[1] = gen_size(g, g->big ? 400 : 20);
    dim[2] = gen_size(g, g->big ? 60 : 19);
    dim[3] = gen_size(g, g->big ? 90 : 35);
  } else {
    for (int i = 0; i < rank; i++) dim[i] = gen_size(g, rank > 2 ? 7 : 40);
    if (g->big) dim[rank - 1] = gen_size(g, gen_chance(g, 20) ? 70000 : 900);
  }
  shrink(rank, dim, g->max_elems / 2);
  gen_input(g, F32, rank, dim);
}

/* The last value, most others that nothing uses, some in the middle; now
 * and then an input itself, or one value twice. */
static int choose_outputs(GraphGen *g, int out[GEN_MAX_OUTPUTS]) {
  int n = 0;
  for (int i = g->nvalues - 1; i >= 0 && n < GEN_MAX_OUTPUTS; i--) {
    const GenValue *v = &g->value[i];
    int percent = v->leaf || v->state ? 2 : v->uses == 0 ? 70 : 8;
    if (i == g->nvalues - 1 || gen_chance(g, percent)) out[n++] = i;
  }
  if (n < GEN_MAX_OUTPUTS && gen_chance(g, 3)) out[n] = out[0], n++;
  return n;
}

/* ") -> y0, v7: f32[...] {"; an output is a value's own name or another
 * name for it, which is written to `aliases`. */
static void print_outputs(GraphGen *g, Text *out, Text *aliases) {
  int o[GEN_MAX_OUTPUTS], n = choose_outputs(g, o);
  for (int i = 0; i < n; i++) {
    const GenValue *v = &g->value[o[i]];
    bool own = !v->leaf && !v->state && gen_chance(g, 60);
    for (int k = 0; k < i; k++) own = own && o[k] != o[i];
    char name[16];
    snprintf(name, sizeof name, "y%d", i);
    if (!own) text_printf(aliases, "  %s = %s;\n", name, v->name);
    text_printf(out, "%s%s", i ? ", " : "", own ? v->name : name);
    if (gen_chance(g, 50)) {
      text_puts(out, ": ");
      print_type(out, v->elem, v->rank, v->dim);
    }
  }
}

bool graph_integral(uint64_t seed) { return seed % 4 == 3; }

/* A few models are big, for loops that small ones never enter. */
static void set_size(GraphGen *g) {
  g->big = gen_chance(g, 4);
  g->max_elems = g->big ? 40000 : 4000;
  g->max_macs = g->big ? 4000000 : 300000;
  if (g->big && gen_chance(g, 20)) g->max_elems = 200000;
}

static void print_inputs(const GraphGen *g, Text *out) {
  const char *between = "";
  for (int i = 0; i < g->nvalues; i++) {
    const GenValue *v = &g->value[i];
    if (!v->leaf) continue;
    text_printf(out, "%s%s: ", between, v->name);
    print_type(out, v->elem, v->rank, v->dim);
    between = ", ";
  }
}

void graph_generate(Text *out, uint64_t seed) {
  GraphGen g = {.state = hash_mix(seed), .ints = graph_integral(seed)};
  text_puts(&g.params, "");
  text_puts(&g.body, "");
  text_puts(&g.funcs, "");
  set_size(&g);
  int inputs = (int)(gen_chance(&g, 60) ? 1 : gen_range(&g, 2, 3));
  bool chain = gen_chance(&g, 10);
  for (int i = 0; i < inputs; i++)
    add_input(&g, gen_chance(&g, i == 0 ? 70 : 40));
  if (chain) add_map(&g), gen_chain(&g);
  int ops = gen_chance(&g, 12) ? 1 : (int)gen_range(&g, 3, 12);
  while (!chain && g.nvalues < inputs + ops) gen_op(&g);

  Text aliases = {0};
  text_puts(&aliases, "");
  gen_nexts(&g, &aliases);
  text_printf(out, "%smodel g%llu(", g.funcs.s, (unsigned long long)seed);
  print_inputs(&g, out);
  text_puts(out, ") -> ");
  print_outputs(&g, out, &aliases);
  text_printf(out, " {\n%s%s%s}\n", g.params.s, g.body.s, aliases.s);
  text_free(&aliases);
  text_free(&g.params);
  text_free(&g.body);
  text_free(&g.funcs);
}
