/* fits.c - whether a backend can compute what `select` and `plan` leave,
 * beyond what the verifier asks of any graph.  They leave nothing else; a
 * dump that was edited by hand may. */
#include <string.h>

#include "passes/passes.h"

/* ---- kernels -------------------------------------------------------- */

static bool misfit(Text *why, const char *s) {
  text_puts(why, s);
  return false;
}

/* Whether kernels' tables can hold the offsets within an image. */
static bool image_fits(const Type *t, const int64_t *stride) {
  const int64_t most = 2 * (int64_t)IMAGE_MOST;
  const int32_t *halo = t->layout->halo;
  int64_t rows = t->dim[2] + halo[0] + halo[1];
  for (int i = 1; i < 3; i++)
    if (t->dim[i] > most || stride[i] > most) return false;
  return t->dim[1] * stride[1] + rows * stride[2] <= most;
}

/* Planes as ir/kernels.def means them. */
static bool is_planes(const Type *t) {
  int64_t s[MAX_RANK], at;
  return t->layout && t->rank == 4 && layout_strides(t, s, &at) &&
         image_fits(t, s) && s[3] == 1 && s[2] >= t->dim[3] &&
         s[1] >= s[2] * t->dim[2];
}

/* Planes throughout, and zeros wherever a window reaches outside x: nothing
 * clears the halo of a value without elements. */
bool conv_on_planes(const Node *n) {
  const Node *x = n->in[0], *r = node_in(n, 3);
  int32_t reach[4];
  if (!is_planes(&x->type) || !is_planes(&n->type) ||
      n->in[1]->op != OP_PARAM || (r && !is_planes(&r->type)) ||
      type_elems(&x->type) == 0)
    return false;
  window_reach(n, reach);
  for (int i = 0; i < 4; i++)
    if (reach[i] > x->type.layout->halo[i]) return false;
  return true;
}

bool linear_on_tokens(const Node *n) {
  const Node *r = node_in(n, 3);
  int64_t plane;
  return type_is_tokens(&n->in[0]->type, &plane) &&
         type_is_tokens(&n->type, &plane) &&
         (!r || type_is_tokens(&r->type, &plane));
}

static bool tile_fits(const Node *n, int height, Text *why) {
  int rows = n->tile[0], vectors = n->tile[1];
  if (rows == 0 && vectors == 0) return true;
  if (rows > 0 && rows <= TILE_ROWS_MOST && rows % height == 0 &&
      vectors > 0 && vectors <= TILE_VECTORS_MOST &&
      rows * vectors <= TILE_SUMS_MOST)
    return true;
  text_printf(why, "expected tile=[rows,vectors] of up to %d rows in steps "
              "of %d, %d vectors and %d rows times vectors, found [%d,%d]",
              TILE_ROWS_MOST, height, TILE_VECTORS_MOST, TILE_SUMS_MOST,
              rows, vectors);
  return false;
}

static bool pair_fits(const Node *n, Text *why) {
  int rows = n->tile[0], vectors = n->tile[1];
  if (n->in[1]->op != OP_PARAM ||
      (n->op == OP_CONV2D && attr_int(n, "groups") > 1))
    return misfit(why, "expected a param as weight, and no groups");
  if (n->op == OP_LINEAR && !linear_on_tokens(n))
    return misfit(why, "expected planes of tokens");
  if (rows == 0 && vectors == 0) return true;
  if (rows == 2 && vectors > 0 && vectors <= PAIR_TILE_MOST) return true;
  text_printf(why, "expected tile=[2,vectors] of up to %d vectors, found "
              "[%d,%d]", PAIR_TILE_MOST, rows, vectors);
  return false;
}

/* Rows that a tile of a table of blocks goes up in: those of whole blocks or
 * of a part of each.  A tile of rows of x goes up by one. */
static int block_step(const Node *n) {
  const Sparse *s = n->in[1]->type.sparse;
  if (n->op == OP_LINEAR && !linear_on_tokens(n)) return 1;
  int h = sparse_tile_height(s, n->tile[0]), most = sparse_height(s);
  return h > 1 ? h : most % 4 == 0 ? 4 : most;
}

/* The weight of a convolution or linear: _bsr wants blocks of some height,
 * what packs nothing wants it plain. */
static bool weight_fits(const Node *n, Text *why) {
  const Node *w = n->in[1];
  const Sparse *s = w->type.sparse;
  const char *suffix = strchr(n->kernel, '_') + 1;
  if (strcmp(suffix, "bsr") == 0) {
    if (!s || sparse_height(s) == 1)
      return misfit(why, "expected a weight in blocks of 2 to 16 rows");
    return tile_fits(n, block_step(n), why);
  }
  if (strcmp(suffix, "nm") == 0) {
    if (!s || !s->n)
      return misfit(why, "expected a weight of N values in each 4 columns");
    if (linear_on_tokens(n)) return misfit(why, "expected rows");
    return tile_fits(n, 1, why);
  }
  if (strcmp(suffix, "pair") == 0) return pair_fits(n, why);
  bool code = strcmp(suffix, "code") == 0;
  if ((code || strcmp(suffix, "csr") == 0) && w->op != OP_PARAM)
    return misfit(why, "expected a param as weight");
  if (code && w->type.stored)
    return misfit(why, "expected a weight stored as f32");
  if (code && n->op == OP_LINEAR && !linear_on_tokens(n))
    return misfit(why, "expected planes of tokens");
  if (strcmp(suffix, "perm") == 0 && (w->op != OP_PARAM || n->type.layout))
    return misfit(why, "expected a param as weight, and rows");
  if (s && (strcmp(suffix, "plain") == 0 || strcmp(suffix, "depthwise") == 0))
    return misfit(why, "expected a dense weight");
  return tile_fits(n, 1, why);
}

static bool conv_fits(const Node *n, Text *why) {
  int64_t groups = attr_int(n, "groups");
  if (strcmp(n->kernel, "conv2d_plain") != 0 && !conv_on_planes(n))
    return misfit(why, "expected planes of less than 4 GiB an image, an x "
                  "with elements and a halo as wide as the windows reach, "
                  "and a param as weight");
  if (strcmp(n->kernel, "conv2d_depthwise") == 0 &&
      (groups != n->type.dim[1] || groups != n->in[0]->type.dim[1]))
    return misfit(why, "expected a group for each channel");
  return weight_fits(n, why);
}

/* Functions read and write rows, as these kernels do; linear layers also go
 * over tokens, or read rows with a stride. */
static bool reads_rows(const Node *n, int k) {
  int64_t plane;
  if (n->op == OP_LINEAR)
    return !(k == 0 && type_is_tokens(&n->in[0]->type, &plane)) &&
           !linear_on_tokens(n);
  return n->op == OP_CALL || n->op == OP_SCAN || n->op == OP_ITEM;
}

static bool writes_rows(const Node *n) {
  if (n->op == OP_LINEAR)
    return n->in[1]->op != OP_PARAM || !linear_on_tokens(n);
  return reads_rows(n, 0) || n->op == OP_MASK || n->op == OP_RANDOM ||
         node_is_leaf(n);
}

static bool layouts_fit(const Node *n, Text *why) {
  int64_t stride[MAX_RANK], at;
  for (int i = -1; i < n->nin; i++) {
    const Node *x = i < 0 ? n : n->in[i];
    if (!x || !x->type.layout) continue;
    if (i < 0 ? writes_rows(n) : reads_rows(n, i))
      return misfit(why, "expected rows, found a layout");
    if (!layout_strides(&x->type, stride, &at))
      return misfit(why, "expected a layout without blocks of an axis");
  }
  return true;
}

/* Only these unpack a weight. */
static bool formats_fit(const Node *n, Text *why) {
  bool unpacks = n->op == OP_CONV2D || n->op == OP_LINEAR;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && n->in[i]->type.sparse && !(unpacks && i == 1))
      return misfit(why, "expected dense params, found a packed one");
  return true;
}

static bool op_fits(const Node *n, Text *why) {
  if (strcmp(n->kernel, "copy") == 0 && !(op_info(n->op)->flags & FLAG_VIEW))
    return misfit(why, "it moves values, and computes none");
  if (n->op == OP_SCAN && attr_int(n, "axis") != 0)
    return misfit(why, "expected axis=0, as pass canon leaves it");
  if (n->op == OP_CONV2D_TRANSPOSE) {
    const int64_t *stride = attr_ints(n, "stride", NULL);
    if (stride[0] > PHASES_MOST || stride[1] > PHASES_MOST)
      return misfit(why, "its stride is larger than pass lower leaves");
  }
  if (n->op == OP_CONV2D) return conv_fits(n, why);
  return n->op != OP_LINEAR || weight_fits(n, why);
}

static bool node_fits(const Node *n, Text *why) {
  if (!node_is_leaf(n) && !n->kernel)
    return misfit(why, "expected kernel=\"...\", found none");
  return layouts_fit(n, why) && formats_fit(n, why) &&
         (node_is_leaf(n) || op_fits(n, why));
}

bool kernels_fit(const Func *f, Diags *d) {
  bool ok = true;
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    Text why = {0};
    if (!node_fits(n, &why))
      ok = diag_error(d, EXIT_MODEL, n->span, "%s%s%s: %s",
                      op_info(n->op)->name, n->kernel ? ", kernel " : "",
                      n->kernel ? n->kernel : "", why.s);
    if (ok && !node_takes_sizes(n, &why))
      ok = diag_error(d, EXIT_UNSUPPORTED, n->span, "%s%s%s: %s, which is not "
                      "supported: fix it with --dim", op_info(n->op)->name,
                      n->path ? " as " : "", n->path ? n->path : "", why.s);
    text_free(&why);
  }
  return ok;
}

/* ---- places --------------------------------------------------------- */

typedef struct Placed {
  const Func *f;
  bool *output;        /* by id */
  const Node **view;   /* by id: the first view of the value */
} Placed;

/* A value lies in the arena, with the caller, or where a view of it or its
 * operand lies. */
static bool has_place(const Placed *p, const Node *n) {
  for (; !node_is_leaf(n) && n->type.at < 0 && !p->output[n->id];
       n = n->in[0])
    if (!node_is_alias(n)) {
      const Node *v = p->view[n->id];
      return v && (v->type.at >= 0 || p->output[v->id]);
    }
  return true;
}

static bool place_fits(const Placed *p, const Node *n, Diags *d) {
  /* Values of any type lie in what a call works with. */
  bool call = n->op == OP_CALL || n->op == OP_SCAN;
  int64_t align = call ? 8 : (int64_t)elem_size(n->type.elem);
  const char *op = op_info(n->op)->name;
  if (!has_place(p, n))
    return diag_error(d, EXIT_MODEL, n->span, "%s: its value has no place: "
                      "expected at=OFFSET", op);
  if (n->type.at > 0 && n->type.at % align)
    return diag_error(d, EXIT_MODEL, n->span, "%s: at=%lld is no multiple "
                      "of %lld", op, (long long)n->type.at,
                      (long long)align);
  return true;
}

/* Before plan nothing has a place. */
bool places_open(const Func *f, Diags *d) {
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    if (n->type.at >= 0)
      return diag_error(d, EXIT_MODEL, n->span, "%s: expected no at=, which "
                        "pass plan gives, found at=%lld",
                        op_info(n->op)->name, (long long)n->type.at);
  }
  return true;
}

bool places_fit(const Func *f, Diags *d) {
  Arena *a = arena_new();
  size_t n = f->nodes.n;
  Placed p = {f, arena_array(a, bool, n), arena_array(a, const Node *, n)};
  for (size_t i = 0; i < f->outputs.n; i++)
    p.output[f->outputs.at[i].node->id] = true;
  for (size_t i = n; i-- > 0;) {
    const Node *v = f->nodes.at[i];
    for (int k = 0; node_is_alias(v) && k < v->nin; k++)
      p.view[v->in[k]->id] = v;
  }
  bool ok = true;
  for (size_t i = 0; i < n; i++) ok &= place_fits(&p, f->nodes.at[i], d);
  arena_free(a);
  return ok;
}
