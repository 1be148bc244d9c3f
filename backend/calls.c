/* calls.c - kernels call and scan: the body of another function of the
 * module, on pointers to this one's values. */
#include "backend/emit.h"

typedef struct Call {
  const Node *n;
  const Func *f;       /* what is called */
  Workspace w;
  Val base, io;        /* the workspace; the callee's pointers */
} Call;

static void slot_set(Gen *g, const Call *c, size_t i, Val p) {
  slot_store(g, c->io, (int)i, p);
}

/* What slot `own` of this function has goes into slot `to` of the other. */
static void slot_pass(Gen *g, const Call *c, int own, int to) {
  slot_store(g, c->io, to, slot_load(g, g->io, own));
}

static Call call_begin(Gen *g, const Node *n) {
  Call c = { .n = n, .f = node_callee(g->mod, n) };
  ensure(c.f);
  c.w = node_workspace(g->mod, n);
  c.base = value_ptr(g, n);
  LLVMTypeRef slots = LLVMArrayType2(g->ptr, (uint64_t)io_slots(g, c.f));
  c.io = LLVMBuildAlloca(g->b, slots, "io");
  if (g->mod->free)
    slot_pass(g, &c, dims_slot(g->func), dims_slot(c.f));
  if (g->mod->states.n)
    slot_pass(g, &c, state_slot(g, g->func), state_slot(g, c.f));
  if (g->pool_slot)
    slot_pass(g, &c, pool_slot(g, g->func), pool_slot(g, c.f));
  return c;
}

static void call_body(Gen *g, const Call *c) {
  Val body = g->body[func_index(g->mod, c->f)];
  Val args[] = { c->io, c->base, g->weights };
  ensure(body);
  LLVMBuildCall2(g->b, g->step_type, body, args, 3, "");
}

/* The node that takes result i, or NULL. */
static const Node *result_item(const Gen *g, const Node *call, size_t i) {
  for (size_t k = call->id + 1; k < g->func->nodes.n; k++) {
    const Node *n = g->func->nodes.at[k];
    if (n->op == OP_ITEM && n->in[0] == call &&
        attr_int(n, "index") == (int64_t)i)
      return n;
  }
  return NULL;
}

/* Where result i goes: to what takes it, else to the workspace. */
static Val result_ptr(Gen *g, const Call *c, size_t i) {
  const Node *item = result_item(g, c->n, i);
  return item ? value_ptr(g, item) : addrk(g, c->base, c->w.result[i]);
}

void emit_call(Gen *g, const Node *n) {
  Call c = call_begin(g, n);
  for (int i = 0; i < n->nin; i++)
    slot_set(g, &c, (size_t)i, value_ptr(g, n->in[i]));
  for (size_t i = 0; i < c.f->outputs.n; i++)
    slot_set(g, &c, c.f->inputs.n + i, result_ptr(g, &c, i));
  call_body(g, &c);
}

/* ---- scan ----------------------------------------------------------- */

typedef struct ScanLoop {
  Call c;
  Val steps;           /* of this call */
  size_t slices, carries, stacked;
} ScanLoop;

static Val pick(Gen *g, Val condition, Val yes, Val no) {
  return LLVMBuildSelect(g->b, condition, yes, no, "");
}

static Val equals(Gen *g, Val a, int64_t b) {
  return LLVMBuildICmp(g->b, LLVMIntEQ, a, k64(g, b), "");
}

/* Carry k has two places, and each step reads one and writes the other; the
 * first reads what the scan was given. */
static void carry_set(Gen *g, const ScanLoop *s, size_t k, Val step) {
  size_t in = s->slices + k, out = s->stacked + k;
  Val even = equals(g, and64(g, step, 1), 0);
  Val a = addrk(g, s->c.base, s->c.w.result[out]);
  Val b = addrk(g, s->c.base, s->c.w.carry[out]);
  Val first = value_ptr(g, s->c.n->in[in]);
  Val last = pick(g, even, b, a);
  slot_set(g, &s->c, in, pick(g, equals(g, step, 0), first, last));
  slot_set(g, &s->c, s->c.f->inputs.n + out, pick(g, even, a, b));
}

static void slices_set(Gen *g, const ScanLoop *s, Val index) {
  const Func *f = s->c.f;
  for (size_t i = 0; i < s->slices; i++) {
    Val off = mul64(g, index, type_rows_bytes(&f->inputs.at[i]->type));
    slot_set(g, &s->c, i, addr(g, value_ptr(g, s->c.n->in[i]), off));
  }
  for (size_t i = 0; i < s->stacked; i++) {
    const Node *item = result_item(g, s->c.n, i);
    Val off = mul64(g, index, type_rows_bytes(&f->outputs.at[i].node->type));
    Val p = result_ptr(g, &s->c, i);
    slot_set(g, &s->c, f->inputs.n + i, item ? addr(g, p, off) : p);
  }
}

/* Bytes of a value in this call; all that it has room for where free axes
 * leave gaps. */
static Val value_bytes(Gen *g, const Node *n) {
  Val bytes = k64(g, (int64_t)elem_size(n->type.elem));
  if (type_packs(&n->type)) return k64(g, type_rows_bytes(&n->type));
  for (int i = 0; i < n->type.rank; i++)
    bytes = LLVMBuildNSWMul(g->b, bytes, axis_size(g, &n->type, i), "");
  return bytes;
}

/* The carries as the last step left them. */
static void carries_end(Gen *g, const ScanLoop *s) {
  for (size_t k = 0; k < s->carries; k++) {
    size_t out = s->stacked + k;
    const Node *item = result_item(g, s->c.n, out);
    if (!item) continue;
    Val odd = equals(g, and64(g, s->steps, 1), 1);
    Val from = pick(g, odd, addrk(g, s->c.base, s->c.w.result[out]),
                    addrk(g, s->c.base, s->c.w.carry[out]));
    from = pick(g, equals(g, s->steps, 0),
                value_ptr(g, s->c.n->in[s->slices + k]), from);
    LLVMBuildMemCpy(g->b, value_ptr(g, item), 1, from, 1,
                    value_bytes(g, item));
  }
}

void emit_scan(Gen *g, const Node *n) {
  ScanLoop s = { .c = call_begin(g, n),
                 .steps = axis_size(g, &n->in[0]->type, 0) };
  s.slices = (size_t)attr_int(n, "slices");
  s.carries = (size_t)attr_int(n, "carries");
  s.stacked = s.c.f->outputs.n - s.carries;
  ensure(attr_int(n, "axis") == 0);
  for (size_t i = s.slices + s.carries; i < (size_t)n->nin; i++)
    slot_set(g, &s.c, i, value_ptr(g, n->in[i]));
  int64_t most = scan_steps(n);
  if (most > 0) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), s.steps, 1, LLVMIsConstant(s.steps), "step");
    Val index = l.iv;
    if (attr_bool(n, "reverse"))
      index = LLVMBuildSub(g->b, add64(g, s.steps, k64(g, -1)), l.iv, "");
    slices_set(g, &s, index);
    for (size_t k = 0; k < s.carries; k++) carry_set(g, &s, k, l.iv);
    call_body(g, &s.c);
    loop_end(g, &l);
  }
  carries_end(g, &s);
}

void emit_item(Gen *g, const Node *n) { (void)g, (void)n; }
