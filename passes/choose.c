/* choose.c - the one place that weighs alternatives: which format a weight
 * takes, and how large a register tile is.
 *
 * Times of formats are relative to one dense multiply-accumulate of the
 * same op on the same machine.  A table of single values loads a vector of
 * x for each product, a table of blocks one for all rows of a block; a
 * matrix times one vector or two has little to share loads among, while a
 * dense product with more rows of x reaches its peak.  A linear layer on
 * planes of tokens is a pointwise convolution.
 * source     bench/kernels --zeros=Z --block=R for Z 40 to 70, where the
 *            choice is made: least time / (density * least time of dense),
 *            the geometric mean over the pointwise layers of
 *            bench/shapes.txt, over its 3x3 layers of 64 channels and more,
 *            over linear layers with 4 to 128 rows of x, and of 256x256 and
 *            512x512 with 1; Zen 5 with AVX-512, AVX2; blocks of 8 and 16
 *            rows and one row of x on a Xeon, with AVX2 on Zen 3: 1024x1024
 *            and 1280 to 1000, a block of up to 8 rows 1.4 to 1.7 cycles */
#include <math.h>
#include <string.h>

#include "passes/passes.h"

typedef enum { POINTWISE, SPATIAL, VECTOR, MATRIX } Kind;

/* A stored value, against 1 of dense, by the rows of a block (see
 * block_heights); [1] where a vector has 16 lanes. */
static const double costs[][2][BLOCK_HEIGHTS] = {
  [POINTWISE] = {{1.45, 1.1, 1.05, 1.05, 1.05}, {1.65, 1.2, 1.1, 1.1, 1.1}},
  [SPATIAL] = {{1.6, 1.1, 0.95, 0.95, 0.95}, {2.3, 1.4, 1.0, 1.0, 1.0}},
  [VECTOR] = {{8.0, 8.5, 4.1, 2.1, 1.2}, {3.7, 7.0, 4.2, 2.2, 1.4}},
  [MATRIX] = {{13.0, 6.5, 3.5, 1.04, 1.04}, {21.0, 12.0, 4.3, 2.9, 1.45}},
};
/* The same of code for the pattern; select looks again at what it takes. */
static const double code_cost = 1.1;
/* The worst of those layers, which are bound by what they write, take 1.3
 * times the mean; a table must win there too. */
static const double margin = 0.8;

/* Kinds of CPUs, by name and vectors; the first row that fits.  A clock under
 * such code and bytes a cycle from beyond the second cache, for times in
 * reports; what x may take of the first cache, and code with its weights of
 * the second; how much code for patterns a whole net may have, half of what
 * the last cache of such a machine holds for a core at least, where the code
 * is for it at all.
 * source     doc/kernels.md; a Xeon (Emerald Rapids) by bench/kernels
 *            --model: peak 170 to 176 GFLOP/s, weights of one row of x from
 *            the third cache at 26 GB/s, code of 0.4 to 1.2 MB as fast as
 *            from a near cache */
static const Family families[] = {
  {"Zen with AVX-512", "x86_64", "znver4 znver5", 16, 3.7, 27, 40 << 10,
   768 << 10, 4 << 20},
  {"Xeon with 2 MB a core", "x86_64",
   "sapphirerapids emeraldrapids graniterapids graniterapids-d", 16, 2.7, 9.6,
   40 << 10, 1536 << 10, 4 << 20},
  {"Xeon with AVX-512", "x86_64",
   "skylake-avx512 cascadelake cooperlake icelake-server", 16, 2.7, 9.6,
   40 << 10, 768 << 10, 4 << 20},
  {"AVX-512", "x86_64", NULL, 16, 3.7, 27, 40 << 10, 768 << 10, 4 << 20},
  {"Zen with AVX2", "x86_64", "znver1 znver2 znver3", 8, 3.4, 18, 26 << 10,
   384 << 10, 0},
  {"AVX", "x86_64", NULL, 8, 3.4, 18, 40 << 10, 768 << 10, 0},
  {"SSE", "x86_64", NULL, 4, 3.7, 27, 40 << 10, 768 << 10, 0},
  {"NEON", "aarch64", NULL, 4, 2.6, 27, 40 << 10, 768 << 10, 0},
};

/* Is `name` one of the words of `list`? */
static bool is_word(const char *list, const char *name) {
  size_t n = strlen(name);
  while (*list) {
    size_t word = strcspn(list, " ");
    if (word == n && memcmp(list, name, n) == 0) return true;
    list += word + strspn(list + word, " ");
  }
  return false;
}

const Family *family_of(const Target *t) {
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    const Family *f = &families[i];
    if (strcmp(f->arch, t->arch) == 0 && f->lanes == t->lanes &&
        (!f->cpus || is_word(f->cpus, t->cpu)))
      return f;
  }
  unreachable();
}

const int block_heights[BLOCK_HEIGHTS] = {1, 2, 4, 8, 16};

static int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* Of a single value whose x is permuted in windows, eight outputs in lanes
 * (Zen 3: one row of 256 at 50 to 90 % zeros 4.4 to 6.5; 4 rows 10.6).  One of
 * more weights than the second cache holds, which dense waits for as well,
 * still takes so much (1024x1024 and 1280 to 1000 at 65 to 80 % zeros). */
static const double window_vector = 5.5, window_matrix = 10.5;
static const double window_far = 4.2;
/* With 8 lanes dense linear layers of many rows are by so much nearer to
 * their peak than pointwise convolutions (Zen 3: 4x1 at 65 to 75 % of BERT's
 * and MiniLM's 1.1 to 1.3 of dense), so are convolutions of so many weights,
 * which dense ones ask for ahead (1024,14x14 to 2048), and 3x3 layers with
 * strides are than those without.  Rows in pairs and windows, which were timed
 * later, lose less by it or nothing. */
static const double tokens_dense = 1.4, strided_dense = 1.15;
static const double pairs_dense = 1.13;
enum { FAR_VALUES = 1 << 21 };

/* Of a stored value of a linear layer: with x in rows, and with x in planes
 * of tokens, whose last vector may be part idle. */
double rows_cost(int64_t rows, int lanes, int height) {
  if (lanes == 8 && height == 0)
    return rows <= 2 ? window_vector : window_matrix;
  return costs[rows <= 2 ? VECTOR : MATRIX][lanes >= 16][height];
}

/* One row of x or two, few outputs: dense takes 1 + M loads for M products
 * from the first cache, where a table ends a row after few values.  [1] with
 * 16 lanes; single values of rows on their own apart (1280 to 5 at 95 % zeros:
 * Zen 3 0.15 us, dense 0.16; a Xeon 2.1 to 2.5 cycles a value, where dense
 * counts 0.04; 1280 to 10 by permutation, Zen 3: 0.31, dense 0.59). */
static const double dots_near[2] = {2, 2.5}, dots_single[2] = {2.4, 7.5};

double dots_cost(int64_t rows, int64_t outputs, int lanes, int height) {
  if (rows > 2) return 1;
  bool single = height == 0 && outputs < lanes;
  return (single ? dots_single : dots_near)[lanes >= 16];
}

static double map_cost(Kind kind, int lanes, bool code, int height) {
  return code && height == 0 ? code_cost : costs[kind][lanes >= 16][height];
}

static double tokens_cost(int64_t rows, int lanes, bool code, int height) {
  double idle = (double)(ceil_div(rows, lanes) * lanes) / (double)rows;
  return idle * map_cost(POINTWISE, lanes, code, height);
}

bool tokens_pay(int64_t rows, int lanes, int height) {
  int i = 0;
  while (i + 1 < BLOCK_HEIGHTS && block_heights[i] < height) i++;
  return rows > 0 &&
         tokens_cost(rows, lanes, false, i) < rows_cost(rows, lanes, i);
}

/* The same of single values of rows in pairs (bench/kernels --kernel=pair on
 * a Xeon, as above: 1.2 for 2:4, 1.4 to 1.5 at 50 to 70 %; AVX2 1.15 for
 * 2:4).  Each vector of x is copied, which few outputs share, and sums of few
 * vectors wait for each other. */
static const double pair_cost = 1.3, pair_copy = 8;
enum { PAIR_VECTORS = 4 };

static double pair_map(const Weight *w, int64_t vectors) {
  double wait = vectors < PAIR_VECTORS ? PAIR_VECTORS / (double)vectors : 1;
  return wait * pair_cost * (1 + pair_copy / (double)w->outputs);
}

static double pair_tokens(const Weight *w) {
  int64_t vectors = ceil_div(w->rows, w->lanes);
  return pair_map(w, vectors) * (double)(vectors * w->lanes) /
         (double)w->rows;
}

static double dense_nearer(const Weight *w) {
  if (w->lanes != 8) return 1;
  if (w->op == OP_LINEAR) return w->rows > 2 ? tokens_dense : 1;
  return w->all >= FAR_VALUES ? tokens_dense
         : w->apart > 0       ? strided_dense : 1;
}

/* Of a stored value of a convolution; in *fixed what comes on top for all. */
static double conv_cost(const Weight *w, int i, double *fixed) {
  double cost = map_cost(w->taps == 1 ? POINTWISE : SPATIAL, w->lanes,
                         w->code, i);
  *fixed = w->apart;
  if (i > 0 || !w->outputs) return cost;
  double pairs = pair_map(w, PAIR_VECTORS), stored = (double)w->stored[i];
  if (dense_nearer(w) == tokens_dense) pairs *= pairs_dense / tokens_dense;
  if (w->apart > 0) pairs *= w->idle;
  if (pairs * stored > cost * stored + w->apart) return cost;
  *fixed = 0;
  return pairs;
}

static double value_cost(const Weight *w, int i, double *fixed) {
  bool pairs = i == 0 && w->outputs;
  if (w->op != OP_LINEAR) return conv_cost(w, i, fixed);
  *fixed = 0;
  /* Outputs in lanes take as many. */
  bool full = i > 0 || w->outputs >= w->lanes;
  double rows = rows_cost(w->rows, full ? w->lanes : 4, i);
  if (w->dots) rows *= dots_cost(w->rows, w->outputs, w->lanes, i);
  rows = fmax(rows, w->least[i]) / fmax(w->far, 1);
  if (i == 0 && full && w->lanes == 8) rows = fmax(rows, window_far);
  if (!w->rows) return rows;
  double tokens = tokens_cost(w->rows, w->lanes, w->code, i);
  double near = dense_nearer(w);
  if (i == 0) rows /= near;
  if (pairs)
    tokens = fmin(tokens,
                  pair_tokens(w) * (near > 1 ? pairs_dense / near : 1));
  return fmin(rows, tokens);
}

/* A value in runs of 4 columns, on rows of x: 0.3 to 0.8 of the time of dense,
 * which reads twice the weights, until permutations count. */
double runs_cost(int64_t rows) { return rows <= 16 ? 1.4 : 1.8; }

const Choice *choice_of(const Choices *c, const Node *n) {
  for (size_t i = 0; c && i < c->n; i++)
    if (!c->at[i].path || (n->path && !strcmp(c->at[i].path, n->path)))
      return &c->at[i];
  return NULL;
}

/* Blocks store the sums of a tile at once, behind few products where there
 * are few columns.  What of y the second cache does not hold takes a time of
 * its own then, but for what so many dense values hide (16,112x112 to 96 on a
 * Xeon with 2 MB a core, writes of 0.56: 239 us at 20 %, 289 at 65 % in 4x1,
 * dense 270; 32,112x112 to 64, writes of 0.21, at 20 % 0.5 of dense). */
static const double hidden_writes = 0.45;

double far_cycles(const Family *f, double bytes) {
  double far = bytes - (double)f->second_bytes;
  return far > 0 ? far / f->stream : 0;
}

static bool writes_bind(const Weight *w, double time, double dense) {
  double bare = w->writes - hidden_writes * (double)w->all;
  return bare > 0 && time + bare > dense;
}

/* Rows of as many nonzeros fill the steps of pairs, and x is copied, so that
 * their planes cost no more than those of conv2d_channels: select compares
 * the tiles (2:4 on 7x7 on a Xeon: 512 to 1024 0.74 of conv2d_channels, 1024
 * to 1024 0.78, 3x3 of 512 0.77). */
static bool pairs_even(const Weight *w) {
  return w->even && w->op == OP_CONV2D && w->outputs &&
         pair_map(w, PAIR_VECTORS) * (double)w->stored[0] <
             margin * (double)w->all;
}

int format_choose(const Weight *w) {
  double near = dense_nearer(w);
  double dense = margin * (double)w->all / fmax(w->gain, 1) / near;
  double best = dense;
  int height = 0;
  for (int i = 0; i < BLOCK_HEIGHTS; i++) {
    double fixed, cost = value_cost(w, i, &fixed);
    double time = cost * (double)w->stored[i] + fixed;
    /* Of two that take as long the higher blocks, which are smaller. */
    if (w->stored[i] < 0 || time > best || (!height && time == best))
      continue;
    best = time;
    height = block_heights[i];
  }
  if (height > 1 && writes_bind(w, best, dense)) height = 0, best = dense;
  if (!height && pairs_even(w)) return 1;
  double runs = fmax(runs_cost(w->rows), w->least_runs) / fmax(w->far, 1);
  if (!height) best *= near;
  /* Few outputs leave lanes of runs idle. */
  if (w->dots) return height;
  return w->runs && runs * (double)w->runs < best ? RUNS : height;
}

/* Bytes a cycle of weights that a row of x is multiplied by, in order, from
 * the second cache (512x512 on a Xeon; 35 with AVX2).  Of more than it holds
 * hardly any are left there when they are read again. */
static const double weights_stream = 45;

double weights_cycles(const Family *f, double bytes) {
  double second = (double)f->second_bytes;
  double far = fmin(fmax((bytes - second) / (second / 2), 0), 1);
  return bytes * ((1 - far) / weights_stream + far / f->stream);
}

/* ---- tiles ---------------------------------------------------------- */

/* Time of one step of a tile of r rows x t vectors: two products a cycle,
 * two loads a cycle (a vector of x takes `xloads`), four cycles until a sum
 * can be added to; in 32nds of a cycle, on top something for each load and
 * for each vector of x, which often comes from L2 (bench/kernels --tile:
 * 9x3, 14x2 and 6x4 are best by turns, 3x7 takes 1.5 times their time). */
static int64_t tile_step(int64_t r, int64_t t, int xloads) {
  int64_t products = r * t, loads = r + t * xloads;
  int64_t most = products > loads ? products : loads;
  return 16 * (most > 8 ? most : 8) + 4 * loads + 13 * t;
}

/* Time of all tiles of the product; rows are cut evenly. */
static int64_t tile_time(const TileWork *w, int64_t r, int64_t t) {
  int64_t panels = ceil_div(w->rows, r), each = ceil_div(w->rows, panels);
  int64_t rest = w->vectors % t;
  int64_t time = w->vectors / t * tile_step(each, t, w->xloads);
  if (rest) time += tile_step(each, rest, w->xloads);
  return panels * time;
}

int64_t tile_choose(const TileWork *w, int vregs, int tile[2]) {
  int64_t best = -1;
  for (int t = 1; t <= 8 && t <= w->vectors; t++) {
    /* Sums, a vector of x for each column and one weight at a time. */
    int r = (vregs - 1 - t) / t;
    if (r > w->rows) r = (int)w->rows;
    if (r < 1) break;
    int64_t time = tile_time(w, r, t);
    if (best >= 0 && time >= best) continue;
    best = time;
    tile[0] = r;
    tile[1] = t;
  }
  return best;
}

/* ---- pixels or channels in the lanes --------------------------------- */

/* In 32nds of a cycle, of vectors of 16 lanes: a vector of x that conv2d_dense
 * reads at one tap, or at several (most lie over the end of a line); a vector
 * of weights that conv2d_channels reads; of any width, a vector of x at a
 * stride, of which four lanes need one shuffle less.  In cycles: a
 * channel of x where each lies in a page of its own and no prefetcher
 * follows; for a square of vectors whose results change places, by its
 * shuffles and stores; a vector that is stored as it is.
 * source     bench/kernels on a Xeon, AVX-512 and AVX2: steps of 14x2, 9x3,
 *            7x3 and 28x1 take 0.95, 0.93, 0.89 and 0.82 of the peak, of 6x2
 *            and 4x3 with AVX2 0.94 and 0.91; 3,224x224 to 32 with 3x3 and
 *            stride 2 on Zen 3, channels in the lanes 0.75 of pixels */
static const double near_x = 8, taps_x = 20, lanes_w = 11, stride_x = 60;
static const double page_time = 4, square_time = 1.25, vector_time = 1;
enum { PAGE_BYTES = 2048 };

/* Two products a cycle, not quite two loads. */
static double step_time(double products, double loads, double lines) {
  return (fmax(fmax(16 * products, 19 * loads), 128) + lines) / 32;
}

static double pixels_step(const DenseWork *w, int64_t r, int64_t t) {
  double line = (w->taps > 1 ? taps_x : near_x) * w->lanes / 16;
  if (w->pixels.xloads > 1) line = w->lanes > 4 ? stride_x : stride_x / 2;
  return step_time((double)(r * t), (double)(r + t), line * (double)t);
}

double unpack_cycles(const Target *t, const Type *weight) {
  bool permutes = strcmp(t->arch, "x86_64") == 0 && t->lanes >= 8;
  if (!elem_clusters(weight->stored)) return 0;
  return weight->stored == U4 && permutes ? 5 : 1.5 * t->lanes;
}

double pixels_tile(const DenseWork *w, int tile[2]) {
  const TileWork *p = &w->pixels;
  tile_choose(p, w->vregs, tile);
  int64_t panels = ceil_div(p->rows, tile[0]), rest = p->vectors % tile[1];
  int64_t rows = ceil_div(p->rows, panels), whole = p->vectors / tile[1];
  double steps = (double)(w->channels * w->taps);
  double time = (double)whole * pixels_step(w, rows, tile[1]);
  if (rest) time += pixels_step(w, rows, rest);
  int64_t times = ceil_div(p->vectors, tile[1]);
  if (steps * (double)rows <= UNPACK_MOST) times = 1 + (rest > 0 && whole > 0);
  double unpacked = steps * (double)(p->rows * times);
  return (double)w->groups *
         (steps * time * (double)panels + w->unpack * unpacked / w->lanes +
          vector_time * (double)(p->rows * p->vectors));
}

/* `all` cut evenly into pieces of at most `most`: n[i] of size[i]. */
static void cut(int64_t all, int64_t most, int64_t n[2], int64_t size[2]) {
  int64_t count = ceil_div(all, most);
  size[0] = ceil_div(all, count), size[1] = size[0] - 1;
  n[1] = count * size[0] - all, n[0] = count - n[1];
}

/* A tile of rows x cols pixels and v vectors of channels. */
static double lanes_tile(const DenseWork *w, int64_t rows, int64_t cols,
                         int64_t v) {
  int64_t line = (rows - 1) * w->pitch + cols, pixels = rows * cols;
  int stages = 0;
  while (w->lanes >> stages > 1) stages++;
  double square = square_time * w->lanes * (stages + 1);
  double step = step_time((double)(pixels * v), (double)(pixels + v),
                          lanes_w * (double)v * w->lanes / 16) +
                w->unpack * (double)v;
  double page = w->plane < PAGE_BYTES ? 0 : page_time * w->lanes / 16;
  return (double)w->channels * ((double)w->taps * step + page) +
         square * (double)(v * ceil_div(line, w->lanes));
}

static double lanes_time(const DenseWork *w, int64_t pixels, int64_t v) {
  int64_t nv[2], vs[2], n[2], size[2];
  bool whole = pixels >= w->w;
  double time = 0;
  cut(ceil_div(w->pixels.rows, w->lanes), v, nv, vs);
  cut(whole ? w->h : w->w, whole ? pixels / w->w : pixels, n, size);
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++)
      if (nv[i] && n[j])
        time += (double)(nv[i] * n[j]) *
                (whole ? lanes_tile(w, size[j], w->w, vs[i])
                       : (double)w->h * lanes_tile(w, 1, size[j], vs[i]));
  return (double)w->groups * time;
}

double channels_tile(const DenseWork *w, int tile[2]) {
  int64_t vectors = ceil_div(w->pixels.rows, w->lanes);
  double best = -1;
  for (int v = 1; v <= 8 && v <= vectors; v++)
    for (int p = 1; p * v + v + w->xregs <= w->vregs && p <= w->h * w->w;
         p++) {
      double time = lanes_time(w, p, v);
      if (best >= 0 && time >= best) continue;
      best = time;
      tile[0] = p;
      tile[1] = v;
    }
  return best;
}

/* ---- tiles of tables ------------------------------------------------ */

/* Half cycles for a line of x that comes from the second cache. */
static const double far_line = 1.6;
/* Half cycles a head, besides its stores: the exit of its loop, its bias;
 * and those for a line of the table, which is read in order. */
static const double head_time = 20, table_line = 1.5;

/* Time of a tile of t vectors in half cycles.  A step takes a block of each
 * unit: a load for a vector of x, a value, and the columns of up to 8 units,
 * two of which go in a cycle, as do two products; a sum can be added to
 * every four cycles.  A head has as many steps as its fullest unit.  Where
 * the x of a tile does not stay in the first cache, the units of a head
 * still share what they read in step: the more there are, the fewer lines
 * come twice. */
static double table_time(const TableWork *w, int units, int64_t t) {
  double heads = (double)ceil_div(w->units, units), steps = 0, blocks = 0;
  for (int64_t i = 0; i < w->units; i++) {
    blocks += (double)w->blocks[i];
    if (i % units == 0) steps += (double)w->blocks[i];
  }
  double products = (double)(w->height * units * t);
  double loads = (double)((t * w->xloads + w->height) * units) +
                 (units & 1) + (units >> 1 & 1) + (units >> 2 & 1) +
                 (units >> 3);
  double bytes = 4.0 * (double)(w->channels * (t + w->span) * w->lanes);
  double near = (double)w->family->near_bytes;
  double far = bytes > near ? 1 - near / bytes : 0;
  double full = blocks / (double)(w->units * w->channels * w->taps);
  double lines = bytes / 64 * (1 - pow(1 - full, units * w->taps));
  double a = steps * (products > 8 ? products : 8);
  double b = steps * loads + heads * far * far_line * lines;
  double table = blocks * (4 * w->height + 1) / 64;
  return (a > b ? a + b / 4 : b + a / 4) +
         heads * (head_time + 2 * products) + table_line * table;
}

/* Loads and shuffles for a vector of x at a stride, which a table does for
 * each value (3x3 and 1x1 layers of ResNet-50, 65 to 90 %). */
enum { STRIDED_LOADS = 6 };

void table_cross(TableWork *w) {
  if (w->xloads > 1) w->xloads = STRIDED_LOADS;
  else if (w->taps > 1) w->xloads = 2;
}

double table_tile(const TableWork *w, int vregs, int tile[2]) {
  double best = -1;
  int h = w->height;
  tile[0] = h, tile[1] = 1;
  for (int t = 1; t <= w->widest && t <= w->vectors; t++)
    for (int u = 1; u <= TABLE_UNITS_MAX && u <= w->units; u++) {
      /* Sums, x unless each product takes it from memory, a value or two. */
      if (u * h * t + (h > 1 || !w->folds ? t + 1 : 4) > vregs) break;
      double time = (double)(w->vectors / t) * table_time(w, u, t);
      if (w->vectors % t) time += table_time(w, u, w->vectors % t);
      if (best >= 0 && time >= best) continue;
      best = time;
      tile[0] = u * h;
      tile[1] = t;
    }
  return best;
}

/* ---- maps taken apart ------------------------------------------------ */

/* Half cycles for an element that goes into the map of its phase: reads and
 * writes that the second cache does not hold (ResNet-50 on a Xeon). */
static const double apart_element = 4;

double apart_time(int64_t elems) { return apart_element * (double)elems; }

/* ---- rows in pairs --------------------------------------------------- */

/* Half cycles a vector that is copied, and one of sums that a block leaves
 * and the next takes up. */
static const double copy_vector = 3, sum_vector = 3;
/* A line of y that is written a little at a time, row by row as they are
 * paired, and does not stay in the second cache. */
static const double far_result = 12;
/* Steps of a pair that are not full; how far, in standard deviations of what
 * rows at random have in a block, two that are paired differ. */
static const double pair_rest = 0.5, pair_apart = 0.8;

/* Time of a tile of t vectors, as table_time. */
static double pair_time(const TableWork *w, double nonzeros, int64_t t) {
  int64_t columns = w->channels * w->taps, vector = 4 * w->lanes * t;
  int64_t cols = PAIR_X_BYTES / vector, rows = PAIR_SUM_BYTES / vector;
  if (cols > PAIR_COLUMNS_MOST) cols = PAIR_COLUMNS_MOST;
  if (rows > PAIR_ROWS_MOST) rows = PAIR_ROWS_MOST;
  PairStep s = pair_step((int64_t)nonzeros, w->units * columns);
  double each = s.shared + s.singles, blocks = (double)ceil_div(columns, cols);
  double row = nonzeros / (double)w->units / blocks;
  double products = 2 * each * (double)t;
  double loads = (s.shared + 2 * s.singles) * (double)t + 2 * each + 1;
  bool even = w->units && w->blocks[0] == w->blocks[w->units - 1];
  double part = nonzeros / (double)(w->units * columns);
  double apart = even ? 0 : pair_apart * sqrt(row * (1 - part));
  double steps = (row + apart) / each + pair_rest;
  double step = fmax(fmax(products, loads), 8 * each);
  double sums = head_time + 2 * (double)t * (blocks > 1 ? 2 * sum_vector : 2);
  double copies = (double)(ceil_div(w->units, rows) * columns * t) *
                  (copy_vector + w->xloads - 1);
  return (double)ceil_div(w->units, 2) * blocks * (steps * step + sums) +
         copies;
}

static double pair_results(const TableWork *w) {
  double bytes = 4.0 * (double)(w->units * w->vectors * w->lanes);
  double far = 2 * (1 - (double)w->family->second_bytes / bytes);
  return far > 0 ? fmin(far, 1) * far_result * bytes / 64 : 0;
}

double pair_tile(const TableWork *w, int vregs, int tile[2]) {
  int64_t most = (vregs - 3) / 2, n = w->vectors;
  double nonzeros = 0;
  if (most > PAIR_TILE_MOST) most = PAIR_TILE_MOST;
  for (int64_t i = 0; i < w->units; i++) nonzeros += (double)w->blocks[i];
  int64_t t = n ? ceil_div(n, ceil_div(n, most)) : 1;
  tile[0] = 2;
  tile[1] = (int)t;
  double time = (double)(n / t) * pair_time(w, nonzeros, t);
  time += pair_results(w);
  return n % t ? time + pair_time(w, nonzeros, n % t) : time;
}

/* ---- code for a pattern ---------------------------------------------- */

/* Bytes of instructions: a product, a column's load, what a row begins and
 * ends with.  Half cycles for one of them that comes from the second cache,
 * once for the vectors of a chunk, or from the third when it does not hold
 * them and the weights, where the block before has asked for it. */
static const double product_bytes = 7.2, column_bytes = 10, row_bytes = 22;
static const double code_byte = 2 / 24.0, far_code_byte = 2 / 5.0;
/* bench/kernels --zeros=90, 70, 50 and 30, the layers of MobileNetV1,
 * ResNet-50 and the face detector: code against csr is 0.55 to 1.0 at 90,
 * against dense 0.43 to 1.0 at 50; mostly within 0.15 of this. */
static const double code_scale = 0.95;
enum { CODE_CHUNK = 32 };

int64_t code_size(const CodeWork *w) {
  return (int64_t)(product_bytes * (double)w->products +
                   column_bytes * (double)w->columns +
                   row_bytes * (double)w->rows);
}

/* Half cycles, as of a table: each product takes a load, of its weight, and
 * each column one, or two where it lies over the end of a line. */
double code_time(const CodeWork *w) {
  double loads = (double)(w->products + w->columns + w->across + w->rows);
  double bytes = 4.0 * (double)(w->channels * (CODE_CHUNK + w->span)) *
                 w->lanes;
  double lines = (double)w->columns / (double)w->taps;
  if (bytes > (double)w->family->near_bytes) loads += far_line / 4 * lines;
  double chunk = fmin((double)w->vectors, CODE_CHUNK);
  double size = (double)code_size(w);
  bool far = size + 4 * (double)w->products >
             (double)w->family->second_bytes;
  double once = (far ? far_code_byte : code_byte) * size / chunk;
  return code_scale * (double)w->vectors *
         (loads + once + (double)w->rows);
}

double dense_time(const TableWork *w) {
  return 1.05 * (double)(w->units * w->height * w->channels * w->taps) *
         (double)w->vectors;
}
