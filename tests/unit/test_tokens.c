/* test_tokens.c - the recipe's verb tokens: scores worked by hand and by plain
 * loops over an image, that those with the best stay in their order, with
 * their positions and what stands beside them, and what the net behind them
 * computes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recipe_fix.h"

/* ---- running --------------------------------------------------------- */

/* All values of a module on an image; ids are those of its nodes. */
static Tensor *run(Behind *b, Module *m, const double *image) {
  static const EvalOpts o = {0};
  Func *f = m->funcs.at[0];
  func_tidy(m, f);
  Tensor in = tensor_new(b->a, &f->inputs.at[0]->type);
  memcpy(in.v, image, (size_t)type_elems(&in.type) * sizeof *image);
  Tensor *all = func_eval(b->a, m, f, &in, &o, true, b->d);
  assert_non_null(all);
  return all;
}

static const Tensor *output(Behind *b, Module *m, const double *image,
                            size_t i) {
  const Tensor *all = run(b, m, image);
  return &all[m->funcs.at[0]->outputs.at[i].node->id];
}

/* What the tokens are ordered by. */
static const double *scores(Behind *b, const double *image) {
  const Func *f = b->m->funcs.at[0];
  const Tensor *all = run(b, b->m, image);
  for (size_t i = 0; i < f->nodes.n; i++)
    if (f->nodes.at[i]->op == OP_ARGSORT)
      return all[f->nodes.at[i]->in[0]->id].v;
  fail_msg("nothing is sorted");
  return NULL;
}

/* A patch's token is its number, by the positions alone; the class token is
 * -1, what stands behind the tokens -2. */
static bool provide_numbers(void *ctx, Param *p) {
  (void)ctx;
  p->data = buffer_new((size_t)type_bytes(&p->type));
  float *v = (float *)(void *)p->data->data;
  for (int64_t i = 0; i < type_elems(&p->type); i++)
    v[i] = strcmp(p->path, "pos") == 0 ? (float)i
           : strcmp(p->path, "cls") == 0 ? -1.0f
           : strcmp(p->path, "last") == 0 ? -2.0f : 0.0f;
  return true;
}

static const char numbers[] =
  "model m(x: f32[%d,%d,%d,%d]) -> y: f32[%d,%d,1] {\n"
  "  param pos: f32[1,%d,1];\n"
  "  x = x |> conv(1, k=%d, s=%d) as patch |> flatten(2)\n"
  "        |> permute([0,2,1]);\n"
  "  y = x + pos; }\n"
  "recipe r for m { tokens patch with %s; }\n";

/* n images of c channels, h by w patches of `side` pixels. */
static Behind numbered(int n, int c, int h, int w, int side,
                       const char *with) {
  char text[1024];
  snprintf(text, sizeof text, numbers, n, c, h * side, w * side, n, h * w,
           h * w, side, side, with);
  return behind_ok(text, provide_numbers);
}

static void expect_tokens(Behind *b, const double *image, int n,
                          const double *want) {
  const Tensor *y = output(b, b->m, image, 0);
  assert_int_equal(type_elems(&y->type), n);
  for (int i = 0; i < n; i++)
    if (y->v[i] != want[i])
      fail_msg("token %d: %g, expected %g", i, y->v[i], want[i]);
}

/* ---- scores by hand -------------------------------------------------- */

static void expect_scores(const char *with, const double *image,
                          const double want[9]) {
  Behind b = numbered(1, 1, 3, 3, 2, with);
  const double *s = scores(&b, image);
  for (int i = 0; i < 9; i++)
    if (fabs(s[i] - want[i]) > 1e-6)
      fail_msg("%s: token %d: %g, expected %g", with, i, s[i], want[i]);
  behind_free(&b);
}

static void scores_by_hand(void **state) {
  (void)state;
  /* A pixel of 8 has gradients of 8 on its four sides: means of 4 in its own
   * patch, the one in the middle, and of 2 above it and to its left. */
  double image[36] = {0};
  image[2 * 6 + 2] = 8;
  static const double ones[9] = {
    -8.0 / 3, 2 - 6.0 / 5, -2,
    2 - 6.0 / 5, 3.5, -6.0 / 5,
    -2, -6.0 / 5, -4.0 / 3
  };
  /* windows at (0,0): 2 - 0, (0,1) and (1,0): 1.5 - 2/5, (1,1): 1 - 4/5 */
  static const double twos[9] = {2, 2, 1.1, 2, 2, 1.1, 1.1, 1.1, 0.2};
  double both[9], clipped[9];
  for (int i = 0; i < 9; i++) both[i] = fmax(ones[i], twos[i]);
  expect_scores("keep=4, windows=[1]", image, ones);
  expect_scores("keep=4, windows=[2]", image, twos);
  expect_scores("keep=4, windows=[1,2]", image, both);
  expect_scores("keep=4", image, both);     /* sides of 4 do not fit */
  /* at a grey level of 1/255 a gradient of 1 is the most */
  for (int i = 0; i < 9; i++) clipped[i] = ones[i] / 8;
  expect_scores("keep=4, windows=[1], scale=0.00392156862745098", image,
                clipped);
}

static void square_wins(void **state) {
  (void)state;
  /* A bright square in four patches of 6 x 6. */
  double image[24 * 24] = {0};
  static const double want[] = {14, 15, 20, 21};
  for (int y = 9; y < 15; y++)
    for (int x = 9; x < 15; x++) image[y * 24 + x] = 200;
  Behind b = numbered(1, 1, 6, 6, 4, "keep=4");
  expect_tokens(&b, image, 4, want);
  behind_free(&b);
}

static void ties_go_to_the_first(void **state) {
  (void)state;
  double image[24 * 24] = {0};
  static const double want[] = {0, 1, 2, 3, 4};
  Behind b = numbered(1, 1, 6, 6, 4, "keep=5");
  expect_tokens(&b, image, 5, want);
  behind_free(&b);
}

/* ---- scores by loops ------------------------------------------------- */

enum { CHANNELS = 3, ROWS = 5, COLUMNS = 7, SIDE = 4 };
enum { HEIGHT = ROWS * SIDE, WIDTH = COLUMNS * SIDE };
enum { TOKENS = ROWS * COLUMNS, PIXELS = CHANNELS * HEIGHT * WIDTH };

static double pixel(const double *image, int c, int y, int x) {
  return image[(c * HEIGHT + y) * WIDTH + x];
}

static double gradient(const double *image, int y, int x) {
  double most = 0;
  for (int c = 0; c < CHANNELS; c++) {
    double gx = x == 0 || x == WIDTH - 1
                  ? 0 : pixel(image, c, y, x + 1) - pixel(image, c, y, x - 1);
    double gy = y == 0 || y == HEIGHT - 1
                  ? 0 : pixel(image, c, y + 1, x) - pixel(image, c, y - 1, x);
    most = fmax(most, fabs(gx) + fabs(gy));
  }
  return most;
}

/* The mean gradient of all pixels of patches in [y0, y1) x [x0, x1), cut at
 * the border, without those in [iy, iy + a) x [ix, ix + a). */
static double mean_of(const double *image, int y0, int y1, int x0, int x1,
                      int iy, int ix, int a) {
  double sum = 0;
  int n = 0;
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++) {
      int r = y / SIDE, c = x / SIDE;
      bool in = r >= y0 && r < y1 && c >= x0 && c < x1;
      bool out = r >= iy && r < iy + a && c >= ix && c < ix + a;
      if (!in || out) continue;
      sum += gradient(image, y, x);
      n++;
    }
  return sum / n;
}

static void score_all(const double *image, const int *sides, int n,
                      double *score) {
  for (int t = 0; t < TOKENS; t++) score[t] = -INFINITY;
  for (int k = 0; k < n; k++) {
    int a = sides[k], ring = a < 2 ? 1 : a / 2;
    for (int y = 0; y + a <= ROWS; y++)
      for (int x = 0; x + a <= COLUMNS; x++) {
        double s = mean_of(image, y, y + a, x, x + a, 0, 0, 0) -
                   mean_of(image, y - ring, y + a + ring, x - ring,
                           x + a + ring, y, x, a);
        for (int i = 0; i < a * a; i++) {
          double *to = &score[(y + i / a) * COLUMNS + x + i % a];
          *to = fmax(*to, s);
        }
      }
  }
}

static void best(const double *score, int all, int n, double *out) {
  int at = 0;
  for (int t = 0; t < all; t++) {
    int before = 0;
    for (int u = 0; u < all; u++)
      before += score[u] > score[t] || (score[u] == score[t] && u < t);
    if (before < n) out[at++] = t;
  }
  assert_int_equal(at, n);
}

static void image_draw(double *image, uint64_t seed, int n) {
  for (int i = 0; i < n; i++)
    image[i] = floor(256 * random_unit("image", seed, (uint64_t)i));
}

static void agrees_with_loops(void **state) {
  (void)state;
  static const struct { const char *with; int n, sides[3]; } cases[] = {
    {"keep=10", 3, {1, 2, 4}}, {"keep=10, windows=[3]", 1, {3}},
    {"keep=10, windows=[1,5]", 2, {1, 5}},
  };
  static double image[PIXELS], score[TOKENS], want[10];
  for (int k = 0; k < 3; k++) {
    Behind b = numbered(1, CHANNELS, ROWS, COLUMNS, SIDE, cases[k].with);
    for (uint64_t seed = 0; seed < 3; seed++) {
      image_draw(image, seed, PIXELS);
      score_all(image, cases[k].sides, cases[k].n, score);
      const double *s = scores(&b, image);
      for (int t = 0; t < TOKENS; t++)
        assert_true(fabs(s[t] - score[t]) < 1e-9);
      best(score, TOKENS, 10, want);
      expect_tokens(&b, image, 10, want);
    }
    behind_free(&b);
  }
}

/* Each image of a batch has tokens of its own. */
static void samples_apart(void **state) {
  (void)state;
  static double image[2 * PIXELS], score[TOKENS], want[20];
  static const int sides[] = {1, 2, 4};
  Behind b = numbered(2, CHANNELS, ROWS, COLUMNS, SIDE, "keep=10");
  for (uint64_t i = 0; i < 2; i++) {
    image_draw(image + i * PIXELS, 7 + i, PIXELS);
    score_all(image + i * PIXELS, sides, 3, score);
    best(score, TOKENS, 10, want + 10 * i);
  }
  assert_true(memcmp(want, want + 10, 10 * sizeof *want) != 0);
  expect_tokens(&b, image, 20, want);
  behind_free(&b);
}

/* ---- an object on a cluttered canvas ---------------------------------- */

enum { CANVAS = 48, CELL = 6, CELLS = CANVAS / CELL, IMAGES = 60 };

typedef struct Canvas {
  double v[CANVAS * CANVAS];
  bool object[CELLS * CELLS];      /* patches that it lies in */
} Canvas;

static uint64_t roll(uint64_t seed, int *at, int n) {
  return (uint64_t)(random_unit("canvas", seed, (uint64_t)(*at)++) * n);
}

static void bar(Canvas *c, uint64_t y, uint64_t x, int h, int w, bool object) {
  for (int i = 0; i < h * w; i++) {
    size_t py = y + (size_t)(i / w), px = x + (size_t)(i % w);
    c->v[py * CANVAS + px] = 255;
    if (object) c->object[py / CELL * CELLS + px / CELL] = true;
  }
}

/* A digit of seven bars, 20 by 12, among noise and pieces of bars. */
static void canvas_draw(Canvas *c, uint64_t seed) {
  static const int bars[7][4] = {
    {0, 0, 3, 12}, {0, 9, 10, 3}, {10, 9, 10, 3}, {17, 0, 3, 12},
    {10, 0, 10, 3}, {0, 0, 10, 3}, {8, 0, 3, 12}
  };
  static const int digits[] = {91, 79, 102, 109, 125, 127, 111};
  int at = 0;
  *c = (Canvas){{0}, {false}};
  for (int i = 0; i < CANVAS * CANVAS; i++)
    c->v[i] = (double)roll(seed, &at, 40);
  for (int i = 0; i < 12; i++) {
    bool tall = roll(seed, &at, 2);
    uint64_t y = roll(seed, &at, CANVAS - 6), x = roll(seed, &at, CANVAS - 6);
    bar(c, y, x, tall ? 6 : 3, tall ? 3 : 6, false);
  }
  int digit = digits[roll(seed, &at, 7)];
  uint64_t y = roll(seed, &at, CANVAS - 20), x = roll(seed, &at, CANVAS - 12);
  for (int i = 0; i < 7; i++)
    if (digit >> i & 1)
      bar(c, y + (uint64_t)bars[i][0], x + (uint64_t)bars[i][1], bars[i][2],
          bars[i][3], true);
}

/* The share of the objects' patches that stay of half of all. */
static double covered(const char *with) {
  int all = 0, kept = 0;
  Behind b = numbered(1, 1, CELLS, CELLS, CELL, with);
  for (uint64_t seed = 0; seed < IMAGES; seed++) {
    Canvas c;
    canvas_draw(&c, seed);
    const Tensor *y = output(&b, b.m, c.v, 0);
    assert_int_equal(type_elems(&y->type), CELLS * CELLS / 2);
    for (int i = 0; i < CELLS * CELLS; i++) all += c.object[i];
    for (int i = 0; i < CELLS * CELLS / 2; i++) kept += c.object[(int)y->v[i]];
  }
  behind_free(&b);
  return (double)kept / all;
}

static void objects_are_covered(void **state) {
  (void)state;
  double object = covered("keep=0.5"), one = covered("keep=0.5, windows=[1]");
  double drawn = covered("keep=0.5, method=random");
  print_message("objectness %.3f, windows of 1 %.3f, random %.3f\n", object,
                one, drawn);
  assert_true(drawn > 0.4 && drawn < 0.6);
  assert_true(object > drawn + 0.25);
}

/* ---- norm and random ------------------------------------------------- */

static bool provide_drawn(void *ctx, Param *p) {
  (void)ctx;
  p->data = param_random(p, 5);
  return true;
}

static void norms(void **state) {
  (void)state;
  static double image[2 * 64], norm[16], want[16];
  Behind b = behind_ok(
    "model m(x: f32[2,1,8,8]) -> y: f32[2,16,6] {\n"
    "  y = x |> conv(6, k=2, s=2) as patch |> flatten(2)\n"
    "        |> permute([0,2,1]); }\n"
    "recipe r for m { tokens patch with keep=0.25, method=norm; }\n",
    provide_drawn);
  image_draw(image, 3, 128);
  Tensor x = *output(&b, b.was, image, 0), y = *output(&b, b.m, image, 0);
  assert_int_equal(type_elems(&y.type), 2 * 4 * 6);
  for (int n = 0; n < 2; n++) {
    const double *all = x.v + n * 16 * 6, *kept = y.v + n * 4 * 6;
    for (int t = 0; t < 16; t++) {
      norm[t] = 0;
      for (int d = 0; d < 6; d++) norm[t] += all[t * 6 + d] * all[t * 6 + d];
    }
    best(norm, 16, 4, want);
    for (int i = 0; i < 4 * 6; i++)
      assert_true(kept[i] == all[(int)want[i / 6] * 6 + i % 6]);
  }
  behind_free(&b);
}

static void draws(void **state) {
  (void)state;
  static double image[24 * 24];
  const char *with = "keep=12, method=random, seed=2";
  Behind a = numbered(1, 1, 6, 6, 4, with), b = numbered(1, 1, 6, 6, 4, with);
  Behind c = numbered(1, 1, 6, 6, 4, "keep=12, method=random, seed=3");
  Tensor x = *output(&a, a.m, image, 0), y = *output(&b, b.m, image, 0);
  Tensor z = *output(&c, c.m, image, 0);
  assert_int_equal(type_elems(&x.type), 12);
  for (int i = 0; i < 12; i++) {
    assert_true(x.v[i] == y.v[i]);
    assert_true(i == 0 || x.v[i] > x.v[i - 1]);
  }
  assert_true(memcmp(x.v, z.v, 12 * sizeof *x.v) != 0);
  behind_free(&a);
  behind_free(&b);
  behind_free(&c);
}

/* ---- how many -------------------------------------------------------- */

static void shares(void **state) {
  (void)state;
  static const struct { const char *keep; int64_t n; } cases[] = {
    {"keep=0.5", 18}, {"keep=0.001", 1}, {"keep=1", 1}, {"keep=0.51", 18},
    {"keep=0.52", 19}, {"keep=35", 35}, {"keep=36", 36}, {"keep=1.0", 36},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Behind b = numbered(1, 1, 6, 6, 4, cases[i].keep);
    const Node *y = b.m->funcs.at[0]->outputs.at[0].node;
    assert_int_equal(y->type.dim[1], cases[i].n);
    behind_free(&b);
  }
}

/* ---- the net behind -------------------------------------------------- */

/* What stands beside the tokens stays: by its place from either end, as all
 * that the tokens are not, and in a sum over all. */
static void others_stay(void **state) {
  (void)state;
  static const double want[] = {14, 15, 20, 21};
  double image[24 * 24] = {0};
  Behind b = behind_ok(
    "model m(x: f32[1,1,24,24]) -> a: f32[1,1], b: f32[1,1], c: f32[1,36,1],\n"
    "    d: f32[1,1], e: f32[1,2,1] {\n"
    "  param pos: f32[1,36,1];\n"
    "  param cls: f32[1,1,1];\n"
    "  param last: f32[1,2,1];\n"
    "  x = x |> conv(1, k=4, s=4) as patch |> flatten(2)\n"
    "        |> permute([0,2,1]);\n"
    "  x = concat(cls, x + pos, last, axis=1);\n"
    "  a = select(x, index=0, axis=1);\n"
    "  b = select(x, index=-1, axis=1);\n"
    "  c = slice(x, axis=1, start=1, stop=-2);\n"
    "  d = sum(x, axes=[1]);\n"
    "  e = slice(x, axis=1, start=37, stop=39); }\n"
    "recipe r for m { tokens patch with keep=4; }\n", provide_numbers);
  for (int y = 9; y < 15; y++)
    for (int x = 9; x < 15; x++) image[y * 24 + x] = 200;
  assert_true(output(&b, b.m, image, 0)->v[0] == -1);
  assert_true(output(&b, b.m, image, 1)->v[0] == -2);
  const Tensor *c = output(&b, b.m, image, 2);
  assert_int_equal(type_elems(&c->type), 4);
  assert_memory_equal(c->v, want, sizeof want);
  assert_true(output(&b, b.m, image, 3)->v[0] == 70 - 5);
  assert_true(output(&b, b.m, image, 4)->v[1] == -2);
  behind_free(&b);
}

/* Tokens that are gone are as tokens that nobody looks at. */
static const char vit[] =
  "block encoder(x, heads: int, wide: int, mask) -> y {\n"
  "  h = x |> layer_norm as norm1;\n"
  "  x = x + (h |> self_attention(heads, mask=mask) as att);\n"
  "  h = x |> layer_norm as norm2 |> linear(wide) as up |> gelu\n"
  "        |> linear(dim(x, -1)) as down;\n"
  "  y = x + h; }\n"
  "model m(x: f32[2,1,12,12]) -> p: f32[2,5] {\n"
  "  param cls: f32[1,1,8] = uniform(-0.5, 0.5);\n"
  "  param pos: f32[1,10,8] = uniform(-0.5, 0.5);\n"
  "  param gone: f32[1,1,1,10];\n"
  "  t = x |> conv(8, k=4, s=4) as patch |> flatten(2)\n"
  "        |> permute([0,2,1]);\n"
  "  t = concat(expand(cls, shape=[2,1,8]), t, axis=1) + pos;\n"
  "  repeat layer for i in 0..2 { t = t |> encoder(2, 16, %s) as enc; }\n"
  "  p = t |> layer_norm as ln |> select(0, axis=1) |> linear(5) as head; }\n"
  "recipe r for m { tokens patch with keep=%s, method=random; }\n";

static const float *seen;      /* by the class token; NULL: all */

static bool provide_mask(void *ctx, Param *p) {
  (void)ctx;
  p->data = param_random(p, 5);
  float *v = (float *)(void *)p->data->data;
  for (int i = 0; strcmp(p->path, "gone") == 0 && i < 10; i++)
    v[i] = seen && !seen[i] ? -INFINITY : 0;
  return true;
}

static Behind vit_behind(const char *mask, const char *keep) {
  char text[2048];
  snprintf(text, sizeof text, vit, mask, keep);
  return behind_ok(text, provide_mask);
}

static void gone_is_not_looked_at(void **state) {
  (void)state;
  static double image[2 * 144];
  float stay[10] = {0};
  image_draw(image, 1, 288);
  for (int i = 0; i < 288; i++) image[i] = image[i] / 128 - 1;
  seen = NULL;
  Behind b = vit_behind("0.0", "5");
  const Param *index = module_param(b.m, "patch.tokens.index");
  assert_non_null(index);
  assert_int_equal(type_elems(&index->type), 6);
  for (size_t i = 0; i < 6; i++)
    stay[elem_load_int(I32, param_data(index), i)] = 1;
  assert_true(stay[0] == 1);
  seen = stay;
  Behind masked = vit_behind("gone", "9");
  Tensor y = *output(&b, b.m, image, 0);
  Tensor all = *output(&b, b.was, image, 0);
  Tensor want = *output(&masked, masked.was, image, 0);
  double apart = 0;
  for (int i = 0; i < 10; i++) {
    assert_true(fabs(y.v[i] - want.v[i]) < 1e-9);
    apart = fmax(apart, fabs(y.v[i] - all.v[i]));
  }
  assert_true(apart > 1e-3);
  behind_free(&masked);
  behind_free(&b);
}

static void all_may_stay(void **state) {
  (void)state;
  double largest;
  seen = NULL;
  for (int i = 0; i < 2; i++) {
    Behind b = vit_behind("gone", i ? "1.0" : "9");
    assert_true(behind_apart(&b, &largest) == 0);
    assert_true(largest > 0);
    assert_int_equal(b.m->notes.n, 1);
    assert_non_null(strstr(b.m->notes.at[0], "all tokens stay"));
    behind_free(&b);
  }
}

/* A mask that is one value for all is made for those that stay. */
static void masks_shrink(void **state) {
  (void)state;
  static double image[2 * 144];
  seen = NULL;
  image_draw(image, 1, 288);
  Behind a = vit_behind("0.0", "5");
  Behind b = vit_behind("expand(0.0, shape=[2,1,10,10])", "5");
  Tensor x = *output(&a, a.m, image, 0), y = *output(&b, b.m, image, 0);
  for (int i = 0; i < 10; i++) assert_true(fabs(x.v[i] - y.v[i]) < 1e-9);
  behind_free(&a);
  behind_free(&b);
}

/* ---- errors ---------------------------------------------------------- */

static void refused(void **state) {
  (void)state;
  char text[2048];
  snprintf(text, sizeof text, vit, "gone", "5");
  Behind b = behind(text, provide_mask);
  assert_null(b.m);
  assert_non_null(strstr(b.error, "expected operands that have the tokens or "
                         "no entry for each, found the constant gone with 10 "
                         "entries along axis 3"));
  behind_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(scores_by_hand),
    cmocka_unit_test(square_wins),
    cmocka_unit_test(ties_go_to_the_first),
    cmocka_unit_test(agrees_with_loops),
    cmocka_unit_test(samples_apart),
    cmocka_unit_test(objects_are_covered),
    cmocka_unit_test(norms),
    cmocka_unit_test(draws),
    cmocka_unit_test(shares),
    cmocka_unit_test(others_stay),
    cmocka_unit_test(gone_is_not_looked_at),
    cmocka_unit_test(all_may_stay),
    cmocka_unit_test(masks_shrink),
    cmocka_unit_test(refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
