/* weight.c - weights as the artifact has them: f32, f16, bf16 or indices of
 * values, of which kernels make f32 as they load them. */
#include <string.h>

#include "backend/tiles.h"

const float *operand_values(Gen *g, const Node *param) {
  ensure(param->op == OP_PARAM);
  const float *v = param_values(g->mod, param->param);
  ensure(v);
  return v;
}

/* ---- into the blob --------------------------------------------------- */

Elem param_elem(Gen *g, const Param *p, bool halves) {
  Elem e = type_stored(&p->type);
  int most = elem_clusters(e);
  if (!most) return e;
  const Buffer *b = p->type.sparse ? p->values : p->data;
  float *table = arena_array(g->a, float, (size_t)most);
  g->nclusters = clusters_of((const float *)(const void *)b->data,
                             b->size / sizeof(float), most, table);
  ensure(g->nclusters > 0);
  g->clusters = table;
  /* Whole vectors of them are read. */
  size_t room = g->nclusters <= 16 ? 16 : (size_t)g->nclusters;
  g->clusters_at = blob_add(g, table, room * sizeof *table, 64);
  return e == U4 && halves ? U4 : U8;
}

Elem weight_elem(Gen *g, const Node *w, bool halves) {
  return w->op == OP_PARAM ? param_elem(g, w->param, halves)
                           : type_stored(&w->type);
}

int64_t weights_bytes(Elem e, int64_t n) {
  ensure(e != U4 || n % 2 == 0);
  return n * elem_bits(e) / 8;
}

static int64_t blob_index(Gen *g, Elem e, const float *v, size_t n,
                          int align) {
  uint8_t *index = arena_alloc(g->a, n + 1);
  uint8_t *to = arena_alloc(g->a, n + 1);
  clusters_index(g->clusters, g->nclusters, v, n, index);
  clusters_pack(e, index, n, to);
  return blob_add(g, to, clusters_bytes(e, n), align);
}

int64_t blob_weights(Gen *g, Elem e, const float *v, size_t n, int align) {
  if (e == F32) return blob_add(g, v, n * sizeof *v, align);
  if (elem_clusters(e)) return blob_index(g, e, v, n, align);
  uint16_t *to = arena_array(g->a, uint16_t, n + 1);
  elems_narrow(e, v, n, to);
  return blob_add(g, to, n * sizeof *to, align);
}

static LLVMTypeRef vector_of(LLVMTypeRef t, int n) {
  return n > 1 ? LLVMVectorType(t, (unsigned)n) : t;
}

static Val byte(Gen *g, int v) { return LLVMConstInt(g->i8, (unsigned)v, 0); }

static Val call_named(Gen *g, const char *name, Val *args, unsigned n) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  ensure(id != 0);
  Val fn = LLVMGetIntrinsicDeclaration(g->m, id, NULL, 0);
  return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->c, id, NULL, 0), fn,
                        args, n, "");
}

/* ---- indices of values ----------------------------------------------- */

/* n indices as i32, of which two of U4 lie in a byte. */
static Val load_indices(Gen *g, Elem e, Val p, int64_t off, int n) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(g->c);
  int bytes = (int)weights_bytes(e, n), lane[64];
  Val v = LLVMBuildLoad2(g->b, vector_of(g->i8, bytes), addrk(g, p, off), "");
  LLVMSetAlignment(v, 1);
  if (e == U4) {
    ensure(n >= 4 && n <= 64);
    Val low = LLVMBuildAnd(g->b, v, splat_n(g, byte(g, 15), bytes), "");
    Val high = LLVMBuildLShr(g->b, v, splat_n(g, byte(g, 4), bytes), "");
    for (int i = 0; i < n; i++) lane[i] = i / 2 + (i % 2 ? bytes : 0);
    v = vshuffle(g, low, high, lane, n);
  }
  return LLVMBuildZExt(g->b, v, vector_of(i32, n), "");
}

/* The table does not change while a model runs. */
static Val load_table(Gen *g, int64_t at, int n) {
  Val v = LLVMBuildLoad2(g->b, vector_of(g->f32, n),
                         blob_ptr(g, g->clusters_at + 4 * at), "");
  LLVMSetAlignment(v, 64);
  unsigned kind = LLVMGetMDKindIDInContext(g->c, "invariant.load", 14);
  LLVMSetMetadata(v, kind, LLVMMetadataAsValue(
    g->c, LLVMMDNodeInContext2(g->c, NULL, 0)));
  return v;
}

/* One of at most 16 values for each lane, by permutations of registers. */
static Val permute(Gen *g, Val index) {
  if (g->t->lanes == 16)
    return call_named(g, "llvm.x86.avx512.permvar.sf.512",
                      (Val[]){ load_table(g, 0, 16), index }, 2);
  Val low = call_named(g, "llvm.x86.avx2.permps",
                       (Val[]){ load_table(g, 0, 8), index }, 2);
  if (g->nclusters <= 8) return low;
  Val high = call_named(g, "llvm.x86.avx2.permps",
                        (Val[]){ load_table(g, 8, 8), index }, 2);
  LLVMTypeRef i32 = LLVMInt32TypeInContext(g->c);
  Val seven = splat_n(g, LLVMConstInt(i32, 7, false), 8);
  Val above = LLVMBuildICmp(g->b, LLVMIntUGT, index, seven, "");
  return LLVMBuildSelect(g->b, above, high, low, "");
}

static bool permutes(const Gen *g, int n) {
  return strcmp(g->t->arch, "x86_64") == 0 && g->t->lanes >= 8 &&
         n == g->t->lanes && g->nclusters <= 16;
}

static Val load_one(Gen *g, Elem e, Val p, int64_t off) {
  ensure(e == U8);
  Val at = load_index(g, p, off, 1);
  return load_f32(g, addr_at(g, blob_ptr(g, g->clusters_at), at, 4), 0);
}

static Val load_clusters(Gen *g, Elem e, Val p, int64_t off, int n) {
  if (n == 1) return load_one(g, e, p, off);
  if (permutes(g, n)) return permute(g, load_indices(g, e, p, off, n));
  if (n == g->t->lanes)
    return gather_f32(g, blob_ptr(g, g->clusters_at),
                      load_indices(g, e, p, off, n), 1);
  Val v = zero_n(g, n);
  for (int i = 0; i < n; i++)
    v = vinsert(g, v, load_one(g, e, p, off + i), i);
  return v;
}

/* ---- loads ----------------------------------------------------------- */

/* The instruction for halves where there is one, else integers. */
static Val widen(Gen *g, Elem e, Val words, int n) {
  if (e != F16 || !g->t->f16) return elem_convert(g, words, e, F32);
  LLVMTypeRef half = vector_of(LLVMHalfTypeInContext(g->c), n);
  Val v = LLVMBuildBitCast(g->b, words, half, "");
  return LLVMBuildFPExt(g->b, v, vector_of(g->f32, n), "");
}

Val load_weights(Gen *g, Elem e, Val p, int64_t off, int n) {
  if (elem_clusters(e)) return load_clusters(g, e, p, off, n);
  LLVMTypeRef t = vector_of(elem_type(g, e), n);
  Val v = LLVMBuildLoad2(g->b, t, addrk(g, p, off), "");
  LLVMSetAlignment(v, (unsigned)elem_size(e));
  return e == F32 ? v : widen(g, e, v, n);
}

Val load_weight(Gen *g, Elem e, Val p, int64_t off) {
  return load_weights(g, e, p, off, 1);
}

void store_weights(Gen *g, Elem e, Val p, int n, Val slot) {
  Val v = LLVMBuildStore(g->b, load_weights(g, e, p, 0, n), slot);
  LLVMSetAlignment(v, 64);
  /* Else LLVM would take the values apart in registers. */
  LLVMSetVolatile(v, true);
}
