/* tiles.h - what the convolution and linear kernels share: the geometry of
 * a convolution on planes, the vectors that cover its output, and how they
 * are cut into register tiles. */
#ifndef TAMIS_TILES_H
#define TAMIS_TILES_H

#include "backend/codegen.h"

/* A convolution; strides count elements. */
typedef struct Conv {
  const Node *n, *x, *w, *b, *r;     /* b and r NULL where absent */
  int64_t batch, c, h, wd, o, oh, ow;
  int64_t groups, cg, og;            /* channels in and out of a group */
  int64_t kh, kw, sy, sx, dy, dx, top, left;
  int64_t xs[MAX_RANK], ys[MAX_RANK], rs[MAX_RANK];
  bool flat;      /* one pitch throughout: the plane is a line of vectors */
} Conv;

/* Fill cv; ensures that x's halo covers the padding and that axis w has
 * stride 1 throughout.  `lanes` is the width of the vectors. */
void conv_init(const Gen *g, const Node *n, Conv *cv);
/* A linear layer on tokens as the 1x1 convolution of a map of one row. */
void conv_init_tokens(const Gen *g, const Node *n, Conv *cv);
/* Byte offset of tap number i (row-major over ky, kx) from tap 0. */
int64_t conv_tap(const Conv *cv, int64_t i);
/* Those of all taps: a blob of u32. */
int64_t conv_taps(Gen *g, const Conv *cv);

/* Where the columns of the weight's matrix lie in x: a blob of u32 byte
 * offsets, or -1 where a product gives them; that of one column. */
int64_t conv_offsets(Gen *g, const Conv *cv);
Val conv_offset(Gen *g, const Conv *cv, int64_t offsets, Val column);

/* Equal vectors of the output plane: `count` of them with `lanes` elements
 * each.  Where they lie: vector v at v*lanes*4 bytes, or by a table. */
typedef struct Vectors {
  int64_t count;
  int lanes;
  bool exact;        /* loads may not touch more than they want */
  int64_t first;     /* flat: offset in elements of vector 0 */
  int64_t table;     /* blob offset of u32 triples x, y, r in bytes; -1 */
  int64_t mask;      /* blob offset of the lane masks; -1: none */
  int half;          /* of the plane, 0 or 1; -1: all of it */
} Vectors;

/* Cover the output plane; returns how many kinds there are (1 or 2). */
int conv_vectors(Gen *g, const Conv *cv, Vectors out[2]);
/* The same, cut into halves of the plane where the parts of a step shall have
 * them: when its tiles of t vectors are too few for parts to share. */
enum { VECTORS_MOST = 4 };
int conv_halves(Gen *g, const Conv *cv, int t, Vectors out[VECTORS_MOST]);
/* Vectors a tile of v, t at most, cut evenly in halves. */
int half_tile(const Vectors *v, int t);
/* Whether a load of a whole vector might reach outside x's buffer when
 * only `lanes` elements of a row's end are wanted. */
bool conv_exact(const Gen *g, const Conv *cv, int lanes);
/* Whether elements [first, end) of each plane of x, counted from its (0,0),
 * may be read. */
bool conv_reads(const Conv *cv, int64_t first, int64_t end);
/* Zero what of y's halo and of what lies behind its planes the vectors'
 * stores leave out; called once, before them. */
void conv_clear(Gen *g, const Conv *cv);

/* Addresses of one vector for channel 0 and tap 0 (x: group 0). */
enum { TILE_MAX = TILE_VECTORS_MOST };
_Static_assert(TILE_SUMS_MOST + 2 <= LOOP_CARRY_MAX,
               "a loop carries a tile's sums and where it reads");
typedef struct Spots {
  int t;
  const Vectors *v;
  Val x[TILE_MAX], y[TILE_MAX], r[TILE_MAX];
  Val mask;          /* address of the first mask */
} Spots;
/* Of t vectors from number `v` on; x, y and r are addresses of element
 * (n,0,0,0) of image n. */
void conv_spots(Gen *g, const Conv *cv, const Vectors *vs, Val v, int t,
                Val x, Val y, Val r, Spots *s);
/* Run body for all vectors of v in tiles of t, those that are left as a
 * smaller one; tiles are shared by parts or not. */
typedef struct Image { Val x, y, r; } Image;   /* addresses of one image */
typedef void TileBody(Gen *g, const void *ctx, const Spots *s);
void conv_tiles(Gen *g, const Conv *cv, const Vectors *v, int t, bool share,
                const Image *im, TileBody *body, const void *ctx);
/* Vector i of the tile at byte offset `off` (a Val) from its spot. */
Val spot_load(Gen *g, const Conv *cv, const Spots *s, int i, Val off);
/* Finish and store: epilogue with r, mask; `plane` numbers the channel. */
void spot_store(Gen *g, const Conv *cv, const Spots *s, int i, Val acc,
                Val plane);

/* Bytes of an image of x, of y.  Maps of more than so many come from far; a
 * tile reads and writes a little of each plane, more places than a prefetcher
 * follows. */
enum { FAR_BYTES = 1 << 20 };
int64_t conv_x_bytes(const Conv *cv);
int64_t conv_y_bytes(const Conv *cv);
/* Ask for what the next tile of a line of vectors reads at byte offset `off`
 * (a Val) and `more`, and for what this one writes of a plane. */
void spots_ask_x(Gen *g, const Spots *s, Val off, int64_t more);
void spots_ask_y(Gen *g, const Conv *cv, const Spots *s, Val plane);

/* Cut `rows` into panels of at most `most` rows that differ by one at most:
 * n[0] panels of size[0] rows, then n[1] of size[1] (n[1] may be 0). */
typedef struct Panels { int64_t n[2]; int size[2]; } Panels;
Panels panels_cut(int64_t rows, int most);

/* Run body(g, ctx, address of image's x, y, r) for each image. */
typedef void ImageBody(Gen *g, void *ctx, Val x, Val y, Val r);
void conv_images(Gen *g, const Conv *cv, ImageBody *body, void *ctx);

/* The convolution, dense; by a table of blocks of `height` rows. */
void conv_emit_dense(Gen *g, const Conv *cv);
void conv_emit_table(Gen *g, const Conv *cv, int height);
/* The same by single nonzeros of rows in pairs. */
void conv_emit_pairs(Gen *g, const Conv *cv);
/* The same as code for the pattern. */
void conv_emit_code(Gen *g, const Conv *cv);

/* ---- pairs.c: rows in pairs ------------------------------------------ */

/* Panels of rows by blocks of columns.  Of each panel, block by block, heads
 * of (rows + 1) / 2 pairs: bytes for steps, the two rows, 0; for each step
 * of a pair pair_columns() bytes of columns, 0 for none, else from 1 on in
 * the block, and pair_values() weights: of both rows for each shared column,
 * then of each row in turn for its own.  starts: where the values, columns
 * and heads of a panel begin, i64 bytes. */
enum { PAIR_VALUES_MAX = 8 };      /* of a step */
typedef struct Pairs {
  Panels panels, blocks;
  PairStep step;
  int64_t values, index, heads, starts;   /* blob offsets */
  Elem elem;                       /* of values */
} Pairs;
Pairs pairs_pack(Gen *g, const Node *w, int64_t rows, int64_t cols,
                 int most_rows, int most_cols);
int pair_columns(const Pairs *t);
int pair_values(const Pairs *t);

/* ---- table.c: nonzeros as tables ------------------------------------- */

/* Blocks of `height` rows that share a column; a row of them is a unit (of
 * height 1: one row of the matrix).  A head stands for `units` of them that
 * are summed in step: a count and the number of each unit in its group, of
 * hbytes.  Its blocks follow those of the head before, block k of each unit
 * in turn: `height` values each, a column of ibytes; a unit with fewer
 * blocks than the first goes on with zeros.  Units are sorted by how many
 * blocks they have, so that loop exits can be predicted and few zeros are
 * added.  What is left of a group follows: one head of `left` units, and
 * one of a single unit of `low` rows. */
enum { TABLE_ROWS_MAX = TILE_ROWS_MOST };
typedef struct Table {
  int height, units, left, low;
  int64_t heads;                   /* whole ones of a group */
  int64_t values, index, head;     /* blob offsets */
  int64_t starts;                  /* of parts: u32 [parts + 1][4]; or -1 */
  int ibytes, hbytes;
  Elem elem;                       /* of values */
  int vbytes;
} Table;
/* The values of w are [groups * rows][cols]. */
Table table_pack(Gen *g, const Node *w, int64_t groups, int64_t rows,
                 int64_t cols, int height, int units);

/* Where the reading of a table has got to. */
typedef struct Cursor { Val value, index, head; } Cursor;
Cursor table_begin(Gen *g, const Table *t);
/* Carry the cursor around a loop. */
void cursor_carry(Gen *g, Loop *l, Cursor *c);
/* At a head of so many units: the count, and the first row of each unit;
 * the cursor goes on to the next head. */
Val table_head(Gen *g, const Table *t, Cursor *c, int units, Val *row);
/* The columns of the blocks of so many units at the cursor, which then goes
 * on to the next block of each. */
void table_columns(Gen *g, const Table *t, const Cursor *c, int units,
                   Val *column);
void table_next(Gen *g, const Table *t, Cursor *c, int units, int height);
/* Run body at all heads of a group. */
typedef void TableBody(Gen *g, const void *ctx, int units, int height,
                       Cursor *c);
void table_walk(Gen *g, const Table *t, Cursor *c, TableBody *body,
                const void *ctx);

#endif
