/* pairs.c - sparse rows in pairs: packing for conv_pair.c.
 *
 * The matrix is cut into panels of rows, and these into blocks of columns.
 * In each block the rows of a panel are paired so that the two share columns.
 * A step of a pair takes `shared` columns, each with a weight of both rows,
 * and `singles` more for each row alone.  Where the density of the matrix is
 * d, random rows share d of their columns, and shared + singles columns a
 * step in that proportion leave hardly a slot empty.  A slot may always take
 * less than it is made for: a column of one row in a shared one, with a zero.
 *
 * Per pair a head of four bytes: steps, the two rows in their panel, 0; the
 * pair with most steps comes first, so that loop exits can be predicted.  A
 * row that is left over is paired with itself. */
#include <stdlib.h>
#include <string.h>

#include "backend/tiles.h"

enum { WORDS = (PAIR_COLUMNS_MOST + 63) / 64 };

typedef struct Mask { uint64_t bits[WORDS]; } Mask;

/* Two rows of a panel in a block. */
typedef struct Pair { int row[2], steps; } Pair;

typedef struct Packer {
  const Pairs *t;
  const float *w;                /* of the panel and block at hand */
  int64_t all;                   /* columns of the matrix */
  Mask mask[PAIR_ROWS_MOST];      /* nonzeros */
  float *values;
  uint8_t *index, *heads;
  int64_t nvalues, nindex, nheads;
} Packer;

static void masks_find(Packer *p, int rows, int cols) {
  memset(p->mask, 0, sizeof p->mask);
  for (int i = 0; i < rows; i++)
    for (int k = 0; k < cols; k++)
      if (p->w[i * p->all + k] != 0)
        p->mask[i].bits[k / 64] |= (uint64_t)1 << k % 64;
}

/* Which columns of a pair go where: of both rows, of each alone. */
enum { BOTH = 2 };
typedef struct Slots {
  int n[BOTH + 1];
  uint8_t column[BOTH + 1][PAIR_COLUMNS_MOST];
} Slots;

/* Columns of both rows, and of each alone. */
static void overlap(const Mask *a, const Mask *b, int n[BOTH + 1]) {
  memset(n, 0, (BOTH + 1) * sizeof *n);
  for (int i = 0; i < WORDS; i++) {
    n[0] += __builtin_popcountll(a->bits[i] & ~b->bits[i]);
    n[1] += __builtin_popcountll(b->bits[i] & ~a->bits[i]);
    n[BOTH] += __builtin_popcountll(a->bits[i] & b->bits[i]);
  }
}

static int over(int n, int room) { return n > room ? n - room : 0; }

/* Steps that a pair takes. */
static int pair_steps(const Pairs *t, const int n[BOTH + 1]) {
  int most = (n[0] > n[1] ? n[0] : n[1]) + n[BOTH];
  for (int steps = most / (t->step.shared + t->step.singles);; steps++) {
    int room = steps * t->step.shared, rest = over(n[BOTH], room);
    int left = over(room, n[BOTH]), single = steps * t->step.singles;
    if (over(n[0] + rest, single) + over(n[1] + rest, single) <= left)
      return steps;
  }
}

static int by_steps(const void *pa, const void *pb) {
  const Pair *a = pa, *b = pb;
  if (a->steps != b->steps) return a->steps > b->steps ? -1 : 1;
  return a->row[0] - b->row[0];
}

/* Pair rows of a block: each with one that takes fewest steps with it, of
 * those the one that shares least, which leaves others to those behind. */
static int pairs_find(const Packer *p, int rows, Pair *to) {
  bool taken[PAIR_ROWS_MOST] = { false };
  int n = 0, count[BOTH + 1];
  for (int i = 0; i < rows; i++) {
    if (taken[i]) continue;
    Pair best = { { i, i }, INT32_MAX };
    int shared = 0;
    for (int j = i + 1; j < rows; j++) {
      if (taken[j]) continue;
      overlap(&p->mask[i], &p->mask[j], count);
      int steps = pair_steps(p->t, count);
      if (steps > best.steps) continue;
      if (steps == best.steps && count[BOTH] >= shared) continue;
      best.row[1] = j;
      best.steps = steps;
      shared = count[BOTH];
    }
    if (best.row[1] == i) {
      overlap(&p->mask[i], &p->mask[i], count);
      best.steps = pair_steps(p->t, count);
    }
    taken[best.row[1]] = true;
    to[n++] = best;
  }
  qsort(to, (size_t)n, sizeof *to, by_steps);
  return n;
}

static void slot_move(Slots *s, int from, int to) {
  s->column[to][s->n[to]++] = s->column[from][--s->n[from]];
}

/* Columns to slots. */
static void slots_fill(const Packer *p, const Pair *pair, int cols,
                       Slots *s) {
  const Mask *a = &p->mask[pair->row[0]], *b = &p->mask[pair->row[1]];
  int room = pair->steps * p->t->step.shared;
  memset(s, 0, sizeof *s);
  for (int k = 0; k < cols; k++) {
    bool in[] = { a->bits[k / 64] >> k % 64 & 1,
                  b->bits[k / 64] >> k % 64 & 1 };
    if (in[0] && in[1] && s->n[BOTH] < room)
      s->column[BOTH][s->n[BOTH]++] = (uint8_t)k;
    else
      for (int i = 0; i < 2; i++)
        if (in[i]) s->column[i][s->n[i]++] = (uint8_t)k;
  }
  while (s->n[BOTH] < room && s->n[0] + s->n[1])
    slot_move(s, s->n[0] < s->n[1], BOTH);
}

/* Column number i of a list and its weights; column 0 holds zeros. */
static void slot_put(Packer *p, const Pair *pair, const Slots *s, int list,
                     int i) {
  bool some = i < s->n[list];
  int k = some ? s->column[list][i] : 0;
  p->index[p->nindex++] = (uint8_t)(some ? k + 1 : 0);
  for (int r = 0; r < 2; r++)
    if (list == BOTH || list == r)
      p->values[p->nvalues++] = some ? p->w[pair->row[r] * p->all + k] : 0;
}

static void pair_pack(Packer *p, const Pair *pair, int cols) {
  Slots s;
  const Pairs *t = p->t;
  slots_fill(p, pair, cols, &s);
  uint8_t head[] = { (uint8_t)pair->steps, (uint8_t)pair->row[0],
                     (uint8_t)pair->row[1], 0 };
  memcpy(p->heads + p->nheads, head, sizeof head);
  p->nheads += (int64_t)sizeof head;
  for (int n = 0; n < pair->steps; n++) {
    for (int i = 0; i < t->step.shared; i++)
      slot_put(p, pair, &s, BOTH, n * t->step.shared + i);
    for (int i = 0; i < t->step.singles; i++)
      for (int r = 0; r < 2; r++)
        slot_put(p, pair, &s, r, n * t->step.singles + i);
  }
}

static int cut_size(const Panels *p, int64_t i) {
  return p->size[i >= p->n[0]];
}

static void panel_pack(Packer *p, const float *w, int rows) {
  const Panels *b = &p->t->blocks;
  Pair pair[PAIR_ROWS_MOST];
  p->w = w;
  for (int64_t i = 0; i < b->n[0] + b->n[1]; i++) {
    int cols = cut_size(b, i);
    masks_find(p, rows, cols);
    int n = pairs_find(p, rows, pair);
    for (int k = 0; k < n; k++) pair_pack(p, &pair[k], cols);
    p->w += cols;
  }
}

int pair_columns(const Pairs *t) {
  return t->step.shared + 2 * t->step.singles;
}

int pair_values(const Pairs *t) {
  return 2 * (t->step.shared + t->step.singles);
}

/* Blocks of whole runs, where a matrix has as many nonzeros in each of 4, 8
 * or 16 columns, so that its rows have equal ones in a block. */
static Panels blocks_cut(int64_t cols, int most) {
  int unit = 16;
  while (cols % unit || unit > most) unit /= 2;
  Panels p = panels_cut(cols / unit, most / unit);
  for (int i = 0; i < 2; i++) p.size[i] *= unit;
  return p;
}

/* Room for everything.  As many steps as take all nonzeros of both rows one
 * row after the other are always enough for a pair; a row that is left over
 * counts twice. */
static Packer packer(Gen *g, const Pairs *t, const float *w, int64_t rows,
                     int64_t cols, int64_t nonzeros) {
  int64_t blocks = t->blocks.n[0] + t->blocks.n[1];
  int64_t each = t->step.shared + t->step.singles;
  Packer p = { .t = t, .w = w, .all = cols };
  size_t steps = (size_t)(2 * nonzeros / each + rows * blocks + 1);
  p.values = arena_array(g->a, float, steps * (size_t)pair_values(t));
  p.index = arena_array(g->a, uint8_t, steps * (size_t)pair_columns(t));
  p.heads = arena_array(g->a, uint8_t, (size_t)(4 * rows * blocks));
  return p;
}

Pairs pairs_pack(Gen *g, const Node *weight, int64_t rows, int64_t cols,
                 int most_rows, int most_cols) {
  const float *w = operand_values(g, weight);
  Pairs t = { .elem = weight_elem(g, weight, false) };
  int64_t nonzeros = 0;
  ensure(most_rows <= PAIR_ROWS_MOST && most_cols <= PAIR_COLUMNS_MOST);
  for (int64_t i = 0; i < rows * cols; i++) nonzeros += w[i] != 0;
  t.panels = panels_cut(rows, most_rows);
  t.blocks = blocks_cut(cols, most_cols);
  t.step = pair_step(nonzeros, rows * cols);
  Packer p = packer(g, &t, w, rows, cols, nonzeros);
  int64_t panels = t.panels.n[0] + t.panels.n[1], first = 0;
  int64_t *start = arena_array(g->a, int64_t, (size_t)panels * 3);
  for (int64_t i = 0; i < panels; i++) {
    start[3 * i] = p.nvalues * (int64_t)elem_size(t.elem);
    start[3 * i + 1] = p.nindex;
    start[3 * i + 2] = p.nheads;
    panel_pack(&p, w + first * cols, cut_size(&t.panels, i));
    first += cut_size(&t.panels, i);
  }
  /* The last columns are read as a word. */
  p.nindex++;
  t.values = blob_weights(g, t.elem, p.values, (size_t)p.nvalues, 64);
  t.index = blob_add(g, p.index, (size_t)p.nindex, 64);
  t.heads = blob_add(g, p.heads, (size_t)p.nheads, 64);
  t.starts = blob_add(g, start, (size_t)panels * 3 * sizeof *start, 8);
  return t;
}
