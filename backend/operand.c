/* operand.c - where values lie: in the arena, in the caller's buffers, or
 * among the weights. */
#include <stdlib.h>
#include <string.h>

#include "backend/emit.h"

/* ---- the weights blob ----------------------------------------------- */

static void blob_reserve(Blob *b, size_t n) {
  if (n <= b->cap) return;
  size_t cap = b->cap + b->cap / 4 + 4096;
  b->cap = cap > n ? cap : n;
  b->at = realloc(b->at, b->cap);
  ensure(b->at);
}

int64_t blob_append(Gen *g, const void *p, size_t size, int align) {
  Blob *b = &g->blob;
  size_t off = (b->n + (size_t)align - 1) / (size_t)align * (size_t)align;
  blob_reserve(b, off + size);
  if (off > b->n) memset(b->at + b->n, 0, off - b->n);
  if (size) memcpy(b->at + off, p, size);
  b->n = off + size;
  return (int64_t)off;
}

/* Of the pieces that fall together the largest are known. */
int64_t blob_add(Gen *g, const void *p, size_t size, int align) {
  enum { WAYS = 4 };
  Blob *b = &g->blob;
  Piece *at = &b->known[hash_sample(p, size) % (BLOB_KNOWN / WAYS) * WAYS];
  Piece *least = at;
  for (int i = 0; i < WAYS; i++) {
    if (at[i].size == size && at[i].offset % (size_t)align == 0 && size &&
        !memcmp(b->at + at[i].offset, p, size))
      return (int64_t)at[i].offset;
    if (at[i].size < least->size) least = &at[i];
  }
  int64_t off = blob_append(g, p, size, align);
  if (size >= least->size) *least = (Piece){ (size_t)off, size };
  return off;
}

Val blob_ptr(Gen *g, int64_t offset) { return addrk(g, g->weights, offset); }

/* Offset of a dense param's values, which are put there once, as they are
 * stored. */
static int64_t param_offset(Gen *g, const Param *p) {
  size_t i = p->order;
  ensure(i < g->mod->params.n && g->mod->params.at[i] == p);
  if (g->param_at[i] >= 0) return g->param_at[i];
  ensure(!p->type.sparse);
  bool real = p->type.elem == F32;
  const void *v = real ? param_values(g->mod, p) : param_data(p);
  ensure(v);
  g->param_at[i] =
    real ? blob_weights(g, param_elem(g, p, false), v,
                        (size_t)type_elems(&p->type), 64)
         : blob_add(g, v, (size_t)type_bytes(&p->type), 64);
  return g->param_at[i];
}

/* ---- places --------------------------------------------------------- */

static Spot spot_io(int io) { return (Spot){ SPOT_IO, io, 0 }; }

/* The output of the function that `n` is, or -1. */
static int output_index(const Func *f, const Node *n) {
  for (size_t i = 0; i < f->outputs.n; i++)
    if (f->outputs.at[i].node == n) return (int)i;
  return -1;
}

/* A value without a place of its own that another one takes in whole (an
 * alias of it is an output, say) lies where that one lies. */
static const Node *alias_user(const Func *f, const Node *n) {
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *u = f->nodes.at[i];
    if (!u->kernel || strcmp(u->kernel, "alias") != 0) continue;
    for (int k = 0; k < u->nin; k++)
      if (u->in[k] == n) return u;
  }
  return NULL;
}

static bool is_stored(const Node *n) {
  return n->op == OP_INPUT || n->op == OP_PARAM || n->op == OP_STATE;
}

int dims_slot(const Func *f) { return (int)(f->inputs.n + f->outputs.n); }

int state_slot(const Gen *g, const Func *f) {
  return dims_slot(f) + (g->mod->free != NULL) + g->weights_slot;
}

int pool_slot(const Gen *g, const Func *f) {
  return state_slot(g, f) + (g->mod->states.n > 0);
}

int io_slots(const Gen *g, const Func *f) {
  return pool_slot(g, f) + g->pool_slot;
}

Spot state_spot(const Gen *g, const State *s) {
  return (Spot){ SPOT_IO, state_slot(g, g->func), g->state_at[s->order] };
}

Spot value_spot(Gen *g, const Node *n) {
  const Func *f = g->func;
  n = view_base(g, n);
  if (n->op == OP_STATE) return state_spot(g, n->state);
  if (n->op == OP_INPUT) {
    for (size_t i = 0; i < f->inputs.n; i++)
      if (f->inputs.at[i] == n) return spot_io((int)i);
    unreachable();
  }
  if (n->op == OP_PARAM)
    return (Spot){ SPOT_WEIGHTS, -1, param_offset(g, n->param) };
  if (n->op == OP_CONST) {
    Elem e = n->type.elem;
    uint64_t v = 0;
    if (elem_is_float(e)) elem_store(e, &v, 0, n->value);
    else elem_store_int(e, &v, 0, n->ivalue);
    return (Spot){ SPOT_WEIGHTS, -1, blob_add(g, &v, elem_size(e), 8) };
  }
  if (n->type.at >= 0) return (Spot){ SPOT_ARENA, -1, n->type.at };
  int out = output_index(f, n);
  if (out >= 0 && !(node_is_alias(n) && n->nin == 1 &&
                    (n->in[0]->type.at >= 0 || is_stored(n->in[0]))))
    return spot_io((int)f->inputs.n + out);
  if (node_is_alias(n)) return value_spot(g, n->in[0]);
  const Node *u = alias_user(f, n);
  if (!u)
    internal_error(__FILE__, __LINE__, "value '%s' (%s) has no place",
                   n->name ? n->name : "?", op_info(n->op)->name);
  return value_spot(g, u);
}

static Val slot_ptr(Gen *g, Val array, int i) {
  return addrk(g, array, i * (int64_t)sizeof(void *));
}

Val slot_load(Gen *g, Val array, int i) {
  return LLVMBuildLoad2(g->b, g->ptr, slot_ptr(g, array, i), "");
}

void slot_store(Gen *g, Val array, int i, Val p) {
  LLVMBuildStore(g->b, p, slot_ptr(g, array, i));
}

Val spot_ptr(Gen *g, Spot p) {
  switch (p.kind) {
    case SPOT_ARENA: return addrk(g, g->arena, p.offset);
    case SPOT_WEIGHTS: return blob_ptr(g, p.offset);
    case SPOT_IO: break;
  }
  return addrk(g, slot_load(g, g->io, p.io), p.offset);
}

Val buffer_ptr(Gen *g, const Node *n) {
  Val p = spot_ptr(g, value_spot(g, n)), at = view_offset(g, n);
  return at ? addr(g, p, at) : p;
}

int64_t value_origin(const Node *n) {
  int64_t stride[MAX_RANK], origin = 0;
  if (layout_strides(&n->type, stride, &origin)) return origin;
  return n->type.layout->origin;
}

Val value_ptr(Gen *g, const Node *n) {
  int64_t size = (int64_t)elem_size(n->type.elem);
  return addrk(g, buffer_ptr(g, n), value_origin(n) * size);
}

void value_strides(const Node *n, int64_t stride[MAX_RANK]) {
  int64_t origin;
  ensure(layout_strides(&n->type, stride, &origin));
}
