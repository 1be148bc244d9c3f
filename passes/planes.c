/* planes.c - pass `layout`: where each element of a value lies; changes
 * become visible.  (File names are unique in the tree; ir/layout.c.)
 *
 * requires   fused nodes; weights have their final format
 * preserves  every value; only encodings and convert nodes are added
 * before     a = conv2d(x, w, pad=[1,1,1,1]);  y = relu(a);
 * after      p: f32[1,3,8,8] <layout="...,h:9,w"> = convert(x);
 *            a: f32[1,4,8,8] <layout="...,h:9,w"> = conv2d(p, w, ...);
 *            y: f32[1,4,8,8] = relu(a);       (reads planes, writes rows)
 * source     planes with a halo, after the measurements in doc/internals.md;
 *            one pitch for all values that a kernel walks in step
 *
 * Convolutions read and write planes (layout_planes), sparse linear layers
 * with many rows planes of tokens (layout_tokens); other linear layers and
 * reshape read rows (row-major without gaps); a graph's inputs, outputs,
 * params and states are rows, and so is what it gives to functions that it
 * calls.  `mask` and `random` write rows.  All other kernels read and write
 * anything unblocked, so they write what their users want, and without a wish
 * what they read. */
#include <string.h>

#include "passes/passes.h"

/* How a value lies; ANY is what a kernel asks for that reads all. */
typedef enum { ROWS, PLANES, TOKENS, FORMS, ANY = FORMS } Form;

typedef struct Planes {
  PassCtx *c;
  Module *m;
  Func *f;
  bool *want[FORMS];     /* by id: some user asks for it */
  Node **as[FORMS];      /* by id: the convert there is already */
  size_t n;              /* nodes before converts came */
} Planes;

/* ---- windows -------------------------------------------------------- */

void window_reach(const Node *n, int32_t halo[4]) {
  int count;
  const int64_t *pad = attr_ints(n, "pad", &count);
  const int64_t *stride = attr_ints(n, "stride", &count);
  const int64_t *k = &n->in[1]->type.dim[2];
  const int64_t *dil = attr_ints(n, "dilation", &count);
  for (int i = 0; i < 2; i++) {
    int64_t last = (n->type.dim[2 + i] - 1) * stride[i] +
                   (k[i] - 1) * dil[i] - pad[i];
    int64_t over = last - (n->in[0]->type.dim[2 + i] - 1);
    halo[2 * i] = (int32_t)pad[i];
    halo[2 * i + 1] = (int32_t)(over > 0 ? over : 0);
  }
}

/* A convolution whose window hardly touches x (a pad far larger than the
 * map) is left to the kernel that needs no halo, and so are images that
 * tables cannot hold the offsets of. */
static bool halo_is_sane(const Type *x, const int32_t halo[4]) {
  int64_t side = halo[2] > halo[3] ? halo[2] : halo[3], area, image;
  if (__builtin_mul_overflow(x->dim[2] + halo[0] + halo[1],
                             x->dim[3] + side, &area) ||
      __builtin_mul_overflow(area, x->dim[1], &image) || image > IMAGE_MOST)
    return false;
  return area <= 4 * x->dim[2] * x->dim[3] + 1024;
}

/* Kernels on planes pack stored weights when they are built.  Nothing
 * writes a value without elements, so its halo would hold no zeros. */
bool conv_takes_planes(const Node *n) {
  int32_t halo[4];
  if (n->in[1]->op != OP_PARAM || type_elems(&n->in[0]->type) == 0)
    return false;
  window_reach(n, halo);
  return halo_is_sane(&n->in[0]->type, halo) &&
         type_elems(&n->type) / n->type.dim[0] <= IMAGE_MOST;
}

bool linear_takes_tokens(const Node *n, int lanes) {
  /* Loops over what stands in front begin at whole vectors. */
  if (n->type.free && type_packs(&n->type) && linear_tokens(n) % lanes)
    return false;
  const Sparse *s = n->in[1]->type.sparse;
  if (!s || n->type.rank < 2 || type_elems(&n->type) == 0) return false;
  const int64_t *w = n->in[1]->type.dim;
  int64_t rows = type_elems(&n->type) / w[0];
  if (s->n) return false;
  return tokens_pay(rows, lanes, sparse_height(s));
}

/* ---- what is wanted ------------------------------------------------- */

/* Marks until the layouts are known. */
static const Layout marks[FORMS];

static Form form_of(const Node *n) {
  return n->type.layout ? (Form)(n->type.layout - marks) : ROWS;
}

static bool has_planes(const Node *n) {
  return form_of(n) == PLANES;
}

static bool is_pool(const Node *n) {
  return n->op == OP_MAX_POOL || n->op == OP_AVG_POOL;
}

/* Ops that walk operand and result in step. */
static bool in_step(const Node *n) {
  uint32_t fl = op_info(n->op)->flags;
  return fl & (FLAG_UNARY | FLAG_BINARY) || n->op == OP_SCALE_SHIFT ||
         n->op == OP_BATCH_NORM || n->op == OP_WHERE ||
         (n->op == OP_CONCAT && attr_int(n, "axis") == 1);
}

/* What another function reads or writes. */
static bool is_call(const Node *n) {
  return n->op == OP_CALL || n->op == OP_SCAN || n->op == OP_ITEM;
}

static bool writes_rows(const Node *n) {
  return node_is_leaf(n) || n->op == OP_RESHAPE || is_call(n) ||
         n->op == OP_LINEAR || n->op == OP_MASK || n->op == OP_RANDOM;
}

/* Can the value lie like that? */
static bool takes_form(const Type *t, Form form) {
  if (t->elem != F32) return false;
  return form == PLANES ? t->rank == 4
                        : t->rank >= 2 && t->dim[t->rank - 1] > 1;
}

/* A slice or concat of rows: planes of one pitch, and maybe in one place. */
static bool is_rows(const Node *n) {
  int64_t step;
  return node_rows(n, 0, &step) >= 0 && step == 1;
}

/* Operand k wants the form of the result. */
static bool follows(const Node *n, int k, Form form) {
  const Node *x = n->in[k];
  if (!x || !takes_form(&n->type, form) || !takes_form(&x->type, form))
    return false;
  if (form == TOKENS)
    return in_step(n) && type_same_shape(&x->type, &n->type);
  if (is_pool(n)) return k == 0;
  int64_t step;
  if (node_rows(n, 0, &step) >= 0) return true;
  return in_step(n) && x->type.dim[2] == n->type.dim[2] &&
         x->type.dim[3] == n->type.dim[3];
}

static bool is_conv_planes(const Node *n) {
  return n->op == OP_CONV2D && conv_takes_planes(n);
}

/* The form that the kernel reads operand k in. */
static Form form_read(const Planes *p, const Node *n, int k) {
  bool value = k == 0 || k == 3;
  if (is_call(n) || n->op == OP_RESHAPE) return ROWS;
  if (n->op == OP_CONV2D)
    return !value ? ROWS : conv_takes_planes(n) ? PLANES : ANY;
  if (n->op != OP_LINEAR) return ANY;
  if (value && linear_takes_tokens(n, p->c->target->lanes)) return TOKENS;
  /* A row may have a stride. */
  return k == 0 && form_of(n->in[0]) == TOKENS ? ANY : ROWS;
}

/* The form that the kernel writes in, before anything else may decide. */
static Form form_written(const Planes *p, const Node *n) {
  if (is_conv_planes(n)) return PLANES;
  if (n->op == OP_LINEAR && linear_takes_tokens(n, p->c->target->lanes))
    return TOKENS;
  for (Form f = PLANES; f < FORMS && !writes_rows(n); f++)
    if (p->want[f][n->id] && takes_form(&n->type, f)) return f;
  return ROWS;
}

static void wants_collect(Planes *p) {
  for (size_t i = 0; i < p->f->outputs.n; i++)
    p->want[ROWS][p->f->outputs.at[i].node->id] = true;
  for (size_t i = 0; i < p->f->nexts.n; i++)
    p->want[ROWS][p->f->nexts.at[i].node->id] = true;
  for (size_t i = p->n; i-- > 0;) {
    const Node *n = p->f->nodes.at[i];
    Form form = form_written(p, n);
    for (int k = 0; k < n->nin; k++) {
      if (!n->in[k]) continue;
      Form reads = form_read(p, n, k);
      if (reads == ANY && form != ROWS && follows(n, k, form)) reads = form;
      if (reads != ANY) p->want[reads][n->in[k]->id] = true;
    }
  }
}

/* Without a wish a kernel writes what it reads. */
static Form form_kept(const Planes *p, const Node *n) {
  if (p->want[ROWS][n->id] || n->op == OP_CONV2D || writes_rows(n))
    return ROWS;
  for (int k = 0; k < n->nin; k++) {
    Form f = n->in[k] ? form_of(n->in[k]) : ROWS;
    if (f != ROWS && follows(n, k, f)) return f;
  }
  return ROWS;
}

static void wants_decide(Planes *p) {
  for (size_t i = 0; i < p->n; i++) {
    Node *n = p->f->nodes.at[i];
    Form form = form_written(p, n);
    if (form == ROWS) form = form_kept(p, n);
    if (form != ROWS) n->type.layout = &marks[form];
  }
}

/* ---- converts ------------------------------------------------------- */

static Node *convert_before(Planes *p, Node *at, Node *x, Form form) {
  Node **known = p->as[form];
  if (known[x->id]) return known[x->id];
  Node *n = at ? func_insert(p->m, p->f, at, OP_CONVERT, &x, 1)
               : func_add(p->m, p->f, OP_CONVERT, &x, 1);
  node_retype(p->c, n);
  n->type.layout = form == ROWS ? NULL : &marks[form];
  n->span = x->span;
  return known[x->id] = n;
}

static void operands_convert(Planes *p, Node *n) {
  for (int k = 0; k < n->nin; k++) {
    Node *x = n->in[k];
    if (!x) continue;
    Form form = form_read(p, n, k);
    if (form != ANY && form != form_of(x))
      n->in[k] = convert_before(p, n, x, form);
  }
}

/* The value that a reshape shows in another shape. */
static Node *root_of(Node *n) {
  while (n->op == OP_RESHAPE) n = n->in[0];
  return n;
}

/* Can output i lie in the caller's buffer, or does it need a copy?  A value
 * may lie in one place only, and a reshape has none of its own. */
static bool output_owns(const Planes *p, size_t i) {
  Node *n = p->f->outputs.at[i].node, *root = root_of(n);
  if (node_is_leaf(root)) return false;
  for (size_t k = 0; k < i; k++)
    if (root_of(p->f->outputs.at[k].node) == root) return false;
  if (root == n) return true;
  for (size_t k = 0; k < p->f->nodes.n; k++) {
    Node *u = p->f->nodes.at[k];
    if (u != n && u->op == OP_RESHAPE && root_of(u) == root) return false;
  }
  return true;
}

/* Each output is a value that a kernel writes as rows. */
static void outputs_convert(Planes *p) {
  for (size_t i = 0; i < p->f->outputs.n; i++) {
    Output *o = &p->f->outputs.at[i];
    if (form_of(o->node) != ROWS)
      o->node = convert_before(p, NULL, o->node, ROWS);
    if (output_owns(p, i)) continue;
    Node *x = o->node;
    o->node = func_add(p->m, p->f, OP_CONVERT, &x, 1);
    node_retype(p->c, o->node);
    o->node->span = x->span;
  }
}

/* What a state gets is rows, and lies in no other state: that one may have
 * got its own new value before. */
static void nexts_convert(Planes *p) {
  for (size_t i = 0; i < p->f->nexts.n; i++) {
    Next *x = &p->f->nexts.at[i];
    if (form_of(x->node) != ROWS)
      x->node = convert_before(p, NULL, x->node, ROWS);
    Node *root = root_of(x->node);
    if (root->op != OP_STATE || root->state == x->state) continue;
    x->node = func_add(p->m, p->f, OP_CONVERT, &x->node, 1);
    node_retype(p->c, x->node);
    x->node->span = root->span;
  }
}

static void converts_insert(Planes *p) {
  Node **old = arena_array(p->c->scratch, Node *, p->n ? p->n : 1);
  for (size_t i = 0; i < p->n; i++) old[i] = p->f->nodes.at[i];
  for (Form f = ROWS; f < FORMS; f++)
    p->as[f] = arena_array(p->c->scratch, Node *, p->n ? p->n : 1);
  for (size_t i = 0; i < p->n; i++) operands_convert(p, old[i]);
  outputs_convert(p);
  nexts_convert(p);
}

/* ---- classes of values with one pitch ------------------------------- */

static uint32_t class_find(uint32_t *up, uint32_t i) {
  while (up[i] != i) i = up[i] = up[up[i]];
  return i;
}

/* The smaller id leads: the same classes come of the same text. */
static void class_join(uint32_t *up, const Node *a, const Node *b) {
  if (!has_planes(a) || !has_planes(b)) return;
  uint32_t x = class_find(up, a->id), y = class_find(up, b->id);
  if (x < y) up[y] = x;
  else up[x] = y;
}

/* Does the op step through x with stride 1, row to row of one width? */
static bool strides_one(const Node *n) {
  if (n->op != OP_CONV2D && !is_pool(n)) return false;
  int count;
  const int64_t *s = attr_ints(n, "stride", &count);
  return s[0] == 1 && s[1] == 1 && n->type.dim[3] == n->in[0]->type.dim[3];
}

static uint32_t *classes_make(Planes *p) {
  size_t n = p->f->nodes.n;
  uint32_t *up = arena_array(p->c->scratch, uint32_t, n ? n : 1);
  for (size_t i = 0; i < n; i++) up[i] = (uint32_t)i;
  for (size_t i = 0; i < n; i++) {
    const Node *y = p->f->nodes.at[i];
    for (int k = 0; k < y->nin; k++)
      if ((in_step(y) || is_rows(y)) && follows(y, k, PLANES))
        class_join(up, y, y->in[k]);
    if (strides_one(y)) class_join(up, y, y->in[0]);
    if (y->op == OP_CONV2D && node_in(y, 3)) class_join(up, y, y->in[3]);
  }
  return up;
}

static void halo_widen(int32_t to[4], const int32_t by[4]) {
  for (int i = 0; i < 4; i++)
    if (by[i] > to[i]) to[i] = by[i];
}

/* ---- rows of a map in place ----------------------------------------- */

typedef struct Shown {
  bool planes;
  bool part;               /* of a concat, which is its one user */
  bool reaches[2];         /* a window goes over its top, its bottom */
  int uses, columns;       /* those that are slices of columns */
} Shown;

static Shown *places_find(Planes *p) {
  size_t n = p->f->nodes.n;
  Shown *at = arena_alloc(p->c->scratch, checked_mul(n + 1, sizeof *at));
  for (size_t i = 0; i < n; i++) {
    const Node *y = p->f->nodes.at[i];
    int32_t reach[4] = {0};
    at[i].planes = has_planes(y);
    if (is_conv_planes(y)) window_reach(y, reach);
    for (int k = 0; k < y->nin; k++) {
      if (!y->in[k]) continue;
      Shown *x = &at[y->in[k]->id];
      x->uses++;
      x->columns += y->op == OP_SLICE && attr_int(y, "axis") == 3;
      x->part = x->uses == 1 && y->op == OP_CONCAT;
      for (int j = 0; k == 0 && j < 2; j++) x->reaches[j] |= reach[j] > 0;
    }
  }
  for (size_t i = 0; i < p->f->outputs.n; i++)
    at[p->f->outputs.at[i].node->id].uses++;
  return at;
}

/* A concat of what convolutions write and nobody else reads: they write
 * their rows of it. */
static void parts_set(Planes *p, const Shown *at, const Node *n) {
  if (!at[n->id].planes || n->op != OP_CONCAT || !is_rows(n)) return;
  for (int k = 0; k < n->nin; k++) {
    const Node *x = n->in[k];
    const Shown *a = &at[x->id];
    if (x->op != OP_CONV2D || !a->planes || !a->part || a->uses > 1) return;
    if (type_elems(&x->type) == 0) return;
  }
  for (int k = 0; k < n->nin; k++) {
    int64_t step, start = node_rows(n, k, &step);
    n->in[k]->type.layout = layout_rows(p->m->arena, &n->in[k]->type,
                                        &n->type, start, step);
  }
}

/* A slice of rows: readers find the others above and below, so none may want
 * zeros there, but at the ends of the map.  Rows with others between them are
 * for slices of columns. */
static void slice_set(Planes *p, const Shown *at, Node *n) {
  const Shown *a = &at[n->id];
  if (!a->planes || n->op != OP_SLICE || type_elems(&n->type) == 0) return;
  const Node *x = n->in[0];
  int64_t step, start = node_rows(n, 0, &step);
  if (start < 0 || !at[x->id].planes) return;
  int64_t end = start + n->type.dim[2];
  if (step > 1 ? a->columns < a->uses
               : (start > 0 && a->reaches[0]) ||
                   (end < x->type.dim[2] && a->reaches[1]))
    return;
  n->type.layout = layout_rows(p->m->arena, &n->type, &x->type, start, step);
}

static void layouts_set(Planes *p) {
  size_t n = p->f->nodes.n;
  const Shown *at = places_find(p);
  uint32_t *up = classes_make(p);
  int32_t (*halo)[4] =
    arena_alloc(p->c->scratch, checked_mul(n ? n : 1, sizeof *halo));
  for (size_t i = 0; i < n; i++) {
    const Node *y = p->f->nodes.at[i];
    int32_t reach[4];
    if (!is_conv_planes(y) || !has_planes(y->in[0])) continue;
    window_reach(y, reach);
    halo_widen(halo[class_find(up, y->in[0]->id)], reach);
  }
  for (size_t i = 0; i < n; i++) {
    Node *y = p->f->nodes.at[i];
    Form form = form_of(y);
    int lanes = p->c->target->lanes;
    if (form == PLANES)
      y->type.layout = layout_planes(p->m->arena, &y->type, lanes,
                                     halo[class_find(up, y->id)]);
    else if (form == TOKENS)
      y->type.layout = layout_tokens(p->m->arena, &y->type, lanes);
  }
  for (size_t i = 0; i < n; i++) parts_set(p, at, p->f->nodes.at[i]);
  for (size_t i = 0; i < n; i++) slice_set(p, at, p->f->nodes.at[i]);
}

/* ---- what the caller packs ------------------------------------------- */

static Node *convert_of(PassCtx *c, Func *f, Node *x) {
  Node *n = func_add(c->m, f, OP_CONVERT, &x, 1);
  n->span = x->span;
  node_retype(c, n);
  return n;
}

/* A caller's buffer is row-major at the sizes of the call, all else lies as at
 * the bounds: inputs and outputs that this makes different are copied. */
static void packed_convert(PassCtx *c, Func *f) {
  size_t all = f->nodes.n;
  if (!c->m->free || !func_is_entry(c->m, f)) return;
  for (size_t i = 0; i < f->outputs.n; i++) {
    Output *o = &f->outputs.at[i];
    if (type_packs(&o->node->type)) o->node = convert_of(c, f, o->node);
  }
  size_t outs = f->nodes.n;
  for (size_t i = 0; i < f->inputs.n; i++) {
    Node *x = f->inputs.at[i];
    if (!type_packs(&x->type)) continue;
    Node *n = convert_of(c, f, x);
    for (size_t k = 0; k < outs; k++) {
      Node *u = f->nodes.at[k];
      for (int j = 0; j < u->nin && k < all; j++)
        if (u->in[j] == x) u->in[j] = n;
    }
  }
  func_tidy(c->m, f);
}

static bool is_called(const Module *m, const Func *f) {
  for (size_t i = 0; i < m->funcs.n; i++)
    for (size_t k = 0; k < m->funcs.at[i]->nodes.n; k++)
      if (node_callee(m, m->funcs.at[i]->nodes.at[k]) == f) return true;
  return false;
}

/* Who calls it from inside packs nothing. */
static bool packed_callable(PassCtx *c, const Func *f) {
  bool packs = false;
  Span at = {0};
  for (size_t i = 0; i < f->outputs.n; i++)
    packs |= type_packs(&f->outputs.at[i].node->type);
  for (size_t i = 0; i < f->inputs.n; i++) {
    packs |= type_packs(&f->inputs.at[i]->type);
    at = f->inputs.at[i]->span;
  }
  if (!packs || !func_is_entry(c->m, f) || !is_called(c->m, f)) return true;
  return diag_error(c->d, EXIT_UNSUPPORTED, at, "'%s' is called and an entry, "
                    "and a dimension behind its outermost ones is free, which "
                    "is not supported: fix it with --dim, or call a func "
                    "whose name begins with _", f->name);
}

static void layout_func(PassCtx *c, Func *f) {
  func_tidy(c->m, f);
  size_t n = f->nodes.n;
  Planes p = {.c = c, .m = c->m, .f = f, .n = n};
  for (Form form = ROWS; form < FORMS; form++)
    p.want[form] = arena_array(c->scratch, bool, n ? n : 1);
  wants_collect(&p);
  wants_decide(&p);
  converts_insert(&p);
  func_tidy(c->m, f);
  layouts_set(&p);
  packed_convert(c, f);
}

bool pass_layout(PassCtx *c) {
  bool ok = true;
  for (size_t i = 0; i < c->m->funcs.n; i++)
    ok &= packed_callable(c, c->m->funcs.at[i]);
  for (size_t i = 0; ok && i < c->m->funcs.n; i++)
    layout_func(c, c->m->funcs.at[i]);
  return ok;
}
