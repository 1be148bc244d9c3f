/* descriptor.c - the tamis_model of runtime/tamis.h as constant data.  It
 * is built after the code, whose stack frames it tells, in a module of its
 * own, together with the weights. */
#include "runtime/tamis.h"

#include <string.h>

#include "backend/emit.h"

typedef struct Desc {
  Emission *e;
  Gen *g;
  LLVMModuleRef m;
} Desc;

/* Elem and the numbers of the descriptor follow one table. */
_Static_assert(TAMIS_F32 == (int)F32 && TAMIS_B1 == (int)B1 &&
               TAMIS_I4 == (int)I4 && TAMIS_U64 == (int)U64 &&
               TAMIS_U64 == ELEM_COUNT - 1, "element types");

/* ---- constants ------------------------------------------------------ */

static Val global(Desc *d, Val init) {
  Val v = LLVMAddGlobal(d->m, LLVMTypeOf(init), "");
  LLVMSetInitializer(v, init);
  LLVMSetLinkage(v, LLVMPrivateLinkage);
  LLVMSetGlobalConstant(v, true);
  return v;
}

static Val text(Desc *d, const char *s) {
  Val v = global(d, LLVMConstStringInContext(d->g->c, s, (unsigned)strlen(s),
                                             false));
  LLVMSetUnnamedAddress(v, LLVMGlobalUnnamedAddr);
  return v;
}

static Val numbers(Desc *d, const int64_t *v, int n) {
  Val at[MAX_RANK];
  if (n == 0) return LLVMConstNull(d->g->ptr);
  for (int i = 0; i < n; i++) at[i] = k64(d->g, v[i]);
  return global(d, LLVMConstArray2(d->g->i64, at, (uint64_t)n));
}

static Val structure(Desc *d, Val *field, unsigned n) {
  return LLVMConstStructInContext(d->g->c, field, n, false);
}

/* An array of structs of one shape, or NULL for none. */
static Val table(Desc *d, Val *row, size_t n) {
  if (n == 0) return LLVMConstNull(d->g->ptr);
  return global(d, LLVMConstArray2(LLVMTypeOf(row[0]), row, n));
}

static Val extern_fn(Desc *d, const char *name, LLVMTypeRef type) {
  Val f = LLVMGetNamedFunction(d->m, name);
  if (f) return f;
  f = LLVMAddFunction(d->m, name, type);
  LLVMSetVisibility(f, LLVMHiddenVisibility);
  return f;
}

/* ---- parts ---------------------------------------------------------- */

_Static_assert(1 << FREE_MOST == sizeof ((tamis_size *)0)->c / 8, "sizes");

static Val size(Desc *d, const Type *t, int axis) {
  FreeExpr e = free_number(t->dim[axis]);
  Val c[1 << FREE_MOST];
  if (axis_is_free(t, axis)) {
    bool known = axis_expr(t, axis, &e);
    ensure(known);
  }
  for (int k = 0; k < 1 << FREE_MOST; k++) c[k] = k64(d->g, e.c[k]);
  Val f[] = { LLVMConstArray2(d->g->i64, c, 1 << FREE_MOST),
              k64(d->g, e.div), k64(d->g, e.mul), k64(d->g, e.by),
              k64(d->g, e.add) };
  return structure(d, f, 5);
}

static Val sizes(Desc *d, const Type *t) {
  Val row[MAX_RANK];
  if (!t->free) return LLVMConstNull(d->g->ptr);
  for (int i = 0; i < t->rank; i++) row[i] = size(d, t, i);
  return table(d, row, (size_t)t->rank);
}

static Val free_dims(Desc *d, const FreeDims *f) {
  Val row[FREE_MOST];
  int n = f ? f->n : 0;
  for (int i = 0; i < n; i++) {
    Val v[] = { text(d, f->dim[i].name), k64(d->g, dim_least(d->e, &f->dim[i])),
                k64(d->g, f->dim[i].most) };
    row[i] = structure(d, v, 3);
  }
  return table(d, row, (size_t)n);
}

static Val tensor(Desc *d, const char *name, const Type *t) {
  Gen *g = d->g;
  int64_t bytes = type_elems(t) * (int64_t)elem_size(t->elem);
  Val f[] = { text(d, name), k32(g, (int)t->elem), k32(g, t->rank),
              numbers(d, t->dim, t->rank), k64(g, bytes),
              LLVMConstReal(g->f64, t->quant ? t->quant->scale : 1),
              k64(g, t->quant ? t->quant->zero : 0), sizes(d, t) };
  return structure(d, f, 8);
}

static Val inputs(Desc *d, const Func *f) {
  Val *row = arena_array(d->g->a, Val, f->inputs.n + 1);
  for (size_t i = 0; i < f->inputs.n; i++)
    row[i] = tensor(d, f->inputs.at[i]->name, &f->inputs.at[i]->type);
  return table(d, row, f->inputs.n);
}

static Val outputs(Desc *d, const Func *f) {
  Val *row = arena_array(d->g->a, Val, f->outputs.n + 1);
  for (size_t i = 0; i < f->outputs.n; i++)
    row[i] = tensor(d, f->outputs.at[i].name, &f->outputs.at[i].node->type);
  return table(d, row, f->outputs.n);
}

static const char *origin_text(Arena *a, const Node *n) {
  if (n->nfrom == 0) return "";
  const Place *p = &n->from[0];
  if (p->node) return p->node;
  /* Without the folder: the bytes do not depend on where one builds. */
  return arena_printf(a, "%s:%d:%d", p->file ? path_base(p->file) : "",
                      p->line, p->col);
}

static Val step(Desc *d, const Step *s) {
  Gen *g = d->g;
  const Node *n = s->node;
  Spot spot = step_spot(g, s);
  int64_t stride[MAX_RANK], origin = 0;
  bool strided = true, io = spot.kind == SPOT_IO;
  if (s->output >= 0 || s->state) strides_dense(&n->type, stride);
  else strided = layout_strides(&n->type, stride, &origin);
  if (io) origin += spot.offset / (int64_t)elem_size(n->type.elem);
  int64_t value = node_callee(g->mod, n) ? -1 : (int64_t)n->id;
  Val null = LLVMConstNull(g->ptr);
  Val f[] = { text(d, s->path), text(d, origin_text(g->a, n)),
              text(d, s->op), text(d, s->kernel),
              extern_fn(d, s->symbol, g->step_type),
              k32(g, io ? spot.io : -1), k32(g, (int)n->type.elem),
              k64(g, io ? 0 : spot.offset), k64(g, origin),
              k32(g, n->type.rank), k32(g, value),
              numbers(d, n->type.dim, n->type.rank),
              strided ? numbers(d, stride, n->type.rank) : null };
  return structure(d, f, 13);
}

/* The model's. */
static Val steps(Desc *d, size_t *n) {
  const Emission *e = d->e;
  const FuncCode *c = e->nversions ? NULL : func_code(e, d->g->func);
  *n = !c || e->o->strip ? 0 : c->end - c->first;
  Val *row = arena_array(d->g->a, Val, *n + 1);
  for (size_t i = 0; i < *n; i++)
    row[i] = step(d, &e->steps.at[c->first + i]);
  return table(d, row, *n);
}

static Val entry(Desc *d, const Func *f, LLVMTypeRef run) {
  Gen *g = d->g;
  Val v[] = { text(d, f->name), k32(g, (int64_t)f->inputs.n),
              k32(g, (int64_t)f->outputs.n), inputs(d, f), outputs(d, f),
              extern_fn(d, entry_io_name(d->e, f), run) };
  return structure(d, v, 6);
}

/* Those beside the model. */
static Val entries(Desc *d, LLVMTypeRef run, size_t *n) {
  const Module *m = d->g->mod;
  Val *row = arena_array(d->g->a, Val, m->funcs.n);
  *n = 0;
  for (size_t i = 1; i < m->funcs.n; i++)
    if (func_is_entry(m, m->funcs.at[i]))
      row[(*n)++] = entry(d, m->funcs.at[i], run);
  return table(d, row, *n);
}

/* Pointers to their descriptors. */
static Val versions(Desc *d) {
  Emission *e = d->e;
  Val *row = arena_array(d->g->a, Val, (size_t)e->nversions + 1);
  for (int i = 0; i < e->nversions; i++) {
    const char *name = arena_printf(d->g->a, "%s_model",
                                    version_prefix(e, i));
    row[i] = LLVMAddGlobal(d->m, d->g->i8, name);
    LLVMSetVisibility(row[i], LLVMHiddenVisibility);
  }
  return table(d, row, (size_t)e->nversions);
}

static Val reset(Desc *d) {
  Gen *g = d->g;
  LLVMTypeRef type = LLVMFunctionType(g->voidt, &g->ptr, 1, false);
  if (!g->mod->states.n) return LLVMConstNull(g->ptr);
  Val fn = LLVMAddFunction(d->m, symbol_name(d->e, "reset", true), type);
  if (d->e->is_version) LLVMSetVisibility(fn, LLVMHiddenVisibility);
  return fn;
}

static Val weights(Desc *d) {
  if (d->e->o->external_weights) return LLVMConstNull(d->g->ptr);
  Val w = LLVMAddGlobal(d->m, d->g->i8, weights_name(d->e));
  LLVMSetVisibility(w, LLVMHiddenVisibility);
  return w;
}

/* ---- the whole ------------------------------------------------------ */

void descriptor_build(Emission *e, LLVMModuleRef m) {
  Gen *g = &e->g;
  Desc ctx = { e, g, m }, *d = &ctx;
  const Target *t = g->t;
  LLVMTypeRef two[] = { g->ptr, g->ptr };
  LLVMTypeRef run = LLVMFunctionType(g->i32, two, 2, false);
  LLVMTypeRef check = LLVMFunctionType(g->i32, NULL, 0, false);
  size_t nsteps, nentries;
  Val step_table = steps(d, &nsteps), entry_table = entries(d, run, &nentries);
  Val f[] = {
    k32(g, sizeof(tamis_model)), k32(g, TAMIS_ABI_VERSION),
    text(d, g->mod->name), text(d, TAMIS_VERSION), text(d, t->triple),
    text(d, t->cpu), text(d, t->features ? t->features : ""),
    k64(g, e->info->arena_bytes), k64(g, e->info->stack_bytes),
    k64(g, ARENA_ALIGN), k64(g, e->info->weight_bytes),
    k32(g, (int64_t)g->func->inputs.n), k32(g, (int64_t)g->func->outputs.n),
    inputs(d, g->func), outputs(d, g->func),
    extern_fn(d, entry_io_name(e, g->func), run), weights(d),
    k32(g, (int64_t)nsteps), k32(g, e->o->threads), step_table,
    extern_fn(d, symbol_name(e, "check_cpu", false), check),
    k64(g, g->state_bytes), reset(d), k32(g, (int64_t)nentries), k32(g, 0),
    entry_table, k32(g, e->nversions), k32(g, 0), versions(d),
    k32(g, g->mod->free ? g->mod->free->n : 0), k32(g, 0),
    free_dims(d, g->mod->free)
  };
  Val init = structure(d, f, sizeof f / sizeof *f);
  Val v = LLVMAddGlobal(m, LLVMTypeOf(init), symbol_name(e, "model", true));
  if (e->is_version) LLVMSetVisibility(v, LLVMHiddenVisibility);
  LLVMSetInitializer(v, init);
  LLVMSetGlobalConstant(v, true);
}
