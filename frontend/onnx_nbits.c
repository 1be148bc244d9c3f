/* onnx_nbits.c - products by weights of a few bits, which ONNX Runtime has
 * in blocks along the rows. */
#include "frontend/onnx_matmul.h"

/* w[i][k] = (q - zero) * scale, scale and zero of row i and of the block that
 * k is in. */
typedef struct Packed {
  int64_t n, k, bits, block, blocks;   /* blocks of a row */
  const uint8_t *q, *zero;             /* zero: NULL where it is the same */
  const float *scale, *zero_float;     /* throughout, or no integer */
} Packed;

static bool sizes_read(Ox *o, Packed *p) {
  p->n = ox_int(o, "N", 0);
  p->k = ox_int(o, "K", 0);
  p->bits = ox_int(o, "bits", 4);
  p->block = ox_int(o, "block_size", 0);
  if (p->bits != 2 && p->bits != 4 && p->bits != 8)
    return ox_refuse(o, "weights of %lld bits", (long long)p->bits);
  if (p->n < 1 || p->k < 1 || p->n > INT32_MAX || p->k > INT32_MAX ||
      p->block < 16 || p->block > INT32_MAX || p->block & (p->block - 1))
    return ox_malformed(o, "N=%lld, K=%lld, block_size=%lld",
                        (long long)p->n, (long long)p->k,
                        (long long)p->block);
  if (ox_int(o, "weight_prepacked", 0))
    return ox_refuse(o, "weights in the order of a device");
  p->blocks = (p->k + p->block - 1) / p->block;
  return true;
}

/* The bytes of operand i, which has to be stored, with that many elements. */
static const void *stored(Ox *o, int i, const char *what, Elem e,
                          int64_t count) {
  Node *x = ox_in(o, i);
  if (!x)
    return NULL;
  if (x->op != OP_PARAM || !x->param->data) {
    ox_refuse(o, "%s that are computed", what);
    return NULL;
  }
  if (x->type.elem != e || ox_elems(x) != count) {
    ox_malformed(o, "%s: expected %lld of %s", what, (long long)count,
                 elem_name(e));
    return NULL;
  }
  return x->param->data->data;
}

static bool packed_read(Ox *o, Packed *p) {
  int64_t bytes = p->block * p->bits / 8;
  int64_t row = (p->blocks * p->bits + 7) / 8;
  p->q = stored(o, 1, "weights", U8, p->n * p->blocks * bytes);
  p->scale = p->q ? stored(o, 2, "scales", F32, p->n * p->blocks) : NULL;
  if (!p->scale)
    return false;
  if (ox_has_in(o, 4))
    return ox_refuse(o, "blocks by an index");
  if (!ox_has_in(o, 3))
    return true;
  Node *zero = ox_in(o, 3);
  if (zero && zero->type.elem == F32)
    return (p->zero_float = stored(o, 3, "zero points", F32,
                                   p->n * p->blocks)) != NULL;
  return (p->zero = stored(o, 3, "zero points", U8, p->n * row)) != NULL;
}

/* Number i of those that share bytes, the first in the lowest bits. */
static int small(const uint8_t *at, int64_t i, int64_t bits) {
  int64_t each = 8 / bits;
  return at[i / each] >> (i % each * bits) & ((1 << bits) - 1);
}

static void row_unpack(const Packed *p, int64_t i, float *w) {
  int64_t bytes = p->block * p->bits / 8;
  int64_t row = (p->blocks * p->bits + 7) / 8;
  for (int64_t b = 0; b < p->blocks; b++) {
    const uint8_t *q = p->q + (i * p->blocks + b) * bytes;
    float scale = p->scale[i * p->blocks + b];
    float zero = p->zero_float ? p->zero_float[i * p->blocks + b]
                 : p->zero ? (float)small(p->zero + i * row, b, p->bits)
                           : (float)(1 << (p->bits - 1));
    int64_t from = b * p->block, to = from + p->block;
    for (int64_t k = from; k < to && k < p->k; k++)
      w[k] = ((float)small(q, k - from, p->bits) - zero) * scale;
  }
}

bool ox_write_matmul_nbits(Ox *o) {
  Packed p = {0};
  Node *x = ox_in(o, 0), *bias = NULL;
  if (!x || !sizes_read(o, &p) || !packed_read(o, &p))
    return false;
  if (ox_has_in(o, 5) && !(bias = ox_in(o, 5)))
    return false;
  if (x->type.rank < 1 || x->type.dim[x->type.rank - 1] != p.k)
    return ox_malformed(o, "an input that has not %lld columns",
                        (long long)p.k);
  Type t = type_make(F32, 2, (int64_t[]){p.n, p.k});
  Buffer *w = buffer_new(checked_mul(checked_mul(p.n, p.k), sizeof(float)));
  for (int64_t i = 0; i < p.n; i++)
    row_unpack(&p, i, (float *)w->data + i * p.k);
  Node *weight = ox_constant(o, &t, w->data);
  buffer_unref(w);
  Node *b = bias && ox_is_stored(bias) && bias->type.rank == 1 ? bias : NULL;
  Node *y = ox_linear(o, x, weight, b);
  return ox_give(o, 0, bias && !b ? ox_op2(o, OP_ADD, y, bias) : y);
}
