/* onnx_quant.c - QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear:
 * the way to quantised values and back. */
#include "frontend/onnx_quant.h"

#include <math.h>

bool quant_range(int type, double *lo, double *hi) {
  switch (type) {
  case OX_INT4: *lo = -8, *hi = 7; return true;
  case OX_UINT4: *lo = 0, *hi = 15; return true;
  case OX_INT8: *lo = -128, *hi = 127; return true;
  case OX_UINT8: *lo = 0, *hi = 255; return true;
  case OX_INT16: *lo = -32768, *hi = 32767; return true;
  case OX_UINT16: *lo = 0, *hi = 65535; return true;
  default: return false;
  }
}

/* ---- constants ------------------------------------------------------ */

/* Elements of a constant: where they lie, or the scalar's. */
typedef struct Numbers { Elem elem; const void *at; double one; } Numbers;

static bool numbers_of(const Node *n, double none, Numbers *out) {
  *out = (Numbers){.one = none};
  if (!n)
    return true;
  out->elem = n->type.elem;
  if (n->op == OP_CONST)
    out->one = elem_is_float(n->type.elem) ? n->value : (double)n->ivalue;
  else if (n->op == OP_PARAM)
    out->at = param_data(n->param);
  return n->op == OP_CONST || out->at;
}

static double number_at(const Numbers *n, int64_t i) {
  return n->at ? elem_load(n->elem, n->at, (size_t)i) : n->one;
}

/* Whether all elements are 0. */
static bool is_zero(const Node *n) {
  Numbers v;
  if (!numbers_of(n, 0, &v))
    return false;
  for (int64_t i = 0, all = n ? ox_elems(n) : 0; i < all; i++)
    if (number_at(&v, i) != 0)
      return false;
  return true;
}

/* ---- operands ------------------------------------------------------- */

/* One number, a list along the axis, or a grid of blocks. */
static bool parameter_fits(Ox *o, const Node *x, const Node *v,
                           const char *what, const Quants *q) {
  const Type *t = &v->type, *like = &x->type;
  if (ox_elems(v) == 1 && t->rank <= 1)
    return true;
  if (!q->block)
    return (t->rank == 1 && t->dim[0] == like->dim[q->axis]) ||
           ox_malformed(o, "%s is no number and no list of %lld (axis %d)",
                        what, (long long)like->dim[q->axis], q->axis);
  if (t->rank != like->rank)
    return ox_malformed(o, "%s of blocks has rank %d, expected %d", what,
                        t->rank, like->rank);
  for (int i = 0; i < t->rank; i++) {
    int64_t want = like->dim[i];
    if (i == q->axis)
      want = want / q->block + (want % q->block != 0);
    if (t->dim[i] != want)
      return ox_malformed(o, "%s has %lld blocks along axis %d, expected "
                          "%lld", what, (long long)t->dim[i], i,
                          (long long)want);
  }
  return true;
}

bool quant_read(Ox *o, Node *x, int scale, int zero, int64_t axis,
                int64_t block, Quants *out) {
  *out = (Quants){.scale = scale < 0 ? NULL : ox_in(o, scale),
                  .block = block};
  if (!x || (scale >= 0 && !out->scale))
    return false;
  if (zero >= 0 && ox_has_in(o, zero)) {
    out->zero = ox_opt(o, zero);
    if (!out->zero)
      return false;
  }
  if (block < 0)
    return ox_malformed(o, "block_size is less than 0");
  bool listed = block || (out->scale && ox_elems(out->scale) != 1) ||
                (out->zero && ox_elems(out->zero) != 1);
  if (listed && !ox_axis(o, axis, x->type.rank, &out->axis))
    return false;
  Node *v[] = {out->scale, out->zero};
  for (int i = 0; i < 2; i++)
    if (v[i] && !parameter_fits(o, x, v[i], i ? "the zero point"
                                              : "the scale", out))
      return false;
  if (out->scale && out->scale->type.elem != F32)
    return ox_malformed(o, "the scale is no float");
  if (is_zero(out->zero))
    out->zero = NULL;
  return true;
}

/* Which block each element along the axis belongs to. */
static Node *block_index(Ox *o, int64_t n, int64_t block) {
  if (!ox_room(o, n))
    return NULL;
  int64_t *v = arena_array(o->a, int64_t, (size_t)n + 1);
  for (int64_t i = 0; i < n; i++)
    v[i] = i / block;
  return n <= INT32_MAX ? ox_list(o, I32, v, (int)n) : NULL;
}

Node *quant_shaped(Ox *o, const Node *x, Node *v, const Quants *q) {
  int64_t dim[MAX_RANK];
  if (!v)
    return NULL;
  if (ox_elems(v) == 1)
    return ox_reshape(o, v, 0, NULL);
  if (q->block)
    return ox_gather(o, v, block_index(o, x->type.dim[q->axis], q->block),
                     q->axis);
  int rank = x->type.rank - q->axis;     /* trailing axes are enough */
  for (int i = 0; i < rank; i++)
    dim[i] = i ? 1 : v->type.dim[0];
  return ox_reshape(o, v, rank, dim);
}

/* ---- to real numbers ------------------------------------------------ */

/* Where element i, at `d` along the axis, has its scale. */
static int64_t parameter_index(const Quants *q, const Node *v, int64_t outer,
                               int64_t d, int64_t inner, int64_t inners) {
  if (!v || ox_elems(v) == 1)
    return 0;
  if (!q->block)
    return d;
  return (outer * v->type.dim[q->axis] + d / q->block) * inners + inner;
}

/* A constant at once: the compiler would compute it in three steps. */
static Node *real_constant(Ox *o, const Node *x, const Quants *q) {
  Numbers v, scale, zero;
  if (x->op != OP_PARAM || !numbers_of(x, 0, &v) ||
      !numbers_of(q->scale, 1, &scale) || !numbers_of(q->zero, 0, &zero))
    return NULL;
  const Type *t = &x->type;
  int64_t outers = 1, inners = 1, at = 0;
  for (int i = 0; i < t->rank; i++)
    *(i < q->axis ? &outers : &inners) *= i == q->axis ? 1 : t->dim[i];
  Buffer *b = buffer_new((size_t)ox_elems(x) * sizeof(float));
  float *to = (float *)(void *)b->data;
  for (int64_t k = 0; k < outers; k++)
    for (int64_t d = 0; d < t->dim[q->axis]; d++)
      for (int64_t i = 0; i < inners; i++, at++) {
        int64_t s = parameter_index(q, q->scale, k, d, i, inners);
        int64_t z = parameter_index(q, q->zero, k, d, i, inners);
        float n = (float)(number_at(&v, at) - number_at(&zero, z));
        to[at] = n * (float)number_at(&scale, s);
      }
  Type real = type_make(F32, t->rank, t->dim);
  const char *path = module_fresh_path(
    o->m, arena_printf(o->m->arena, "%s.real", x->param->path));
  return func_param(o->m, o->f, module_add_param(o->m, path, real, b));
}

/* Whether n's values are integers within the range of `held`, `by` less than
 * they are then. */
static bool is_clipped(const Node *n, double by, Elem held) {
  if (n->op != OP_CLIP || trunc(by) != by)
    return false;
  double lo = attr_float(n, "lo"), hi = attr_float(n, "hi");
  bool fits = held == U8 ? lo + by >= 0 && hi + by <= 255
                         : held == I32 && lo + by >= -65536 &&
                             hi + by <= 65536;
  const Node *r = n->in[0];
  if (r->op == OP_ADD && (r->in[1]->op == OP_ROUND ||
                          (r->in[1]->op == OP_CAST &&
                           !elem_is_float(r->in[1]->in[0]->type.elem))))
    r = r->in[0];
  return fits && trunc(lo) == lo && trunc(hi) == hi && r->op == OP_ROUND;
}

/* What quant_made wrote: the clipped integers in f32, `*by` less than the
 * quantised ones.  NULL: something else. */
static Node *made_before(Node *x, double *by) {
  *by = 0;
  if (x->op != OP_CAST)
    return NULL;
  Node *n = x->in[0];
  if (n->type.elem != F32)
    return NULL;
  if (n->op == OP_ADD && n->in[1]->op == OP_CONST) {
    *by = n->in[1]->value;
    n = n->in[0];
  }
  return is_clipped(n, *by, x->type.elem) ? n : NULL;
}

/* x - zero in f32; 32-bit integers are subtracted as such. */
static Node *centred(Ox *o, Node *x, int type, const Quants *q) {
  double by;
  Numbers z;
  Node *zero = quant_shaped(o, x, q->zero, q);
  Node *made = made_before(x, &by);
  if (made && numbers_of(zero, 0, &z) && !z.at)
    return z.one == by ? made : ox_with(o, OP_SUB, made, z.one - by);
  if (made && by == 0)
    x = made;
  else if (x->op == OP_CAST && elem_bits(x->in[0]->type.elem) < 32 &&
           !elem_is_float(x->in[0]->type.elem))
    x = x->in[0];    /* an input, as it is stored */
  if (type == OX_INT32 && zero) {
    x = ox_op2(o, OP_SUB, x, ox_cast(o, zero, x->type.elem));
    zero = NULL;
  }
  x = ox_cast(o, x, F32);
  return zero ? ox_op2(o, OP_SUB, x, ox_cast(o, zero, F32)) : x;
}

Node *quant_real(Ox *o, Node *x, int type, const Quants *q) {
  Node *done = real_constant(o, x, q);
  if (done)
    return done;
  x = centred(o, x, type, q);
  return q->scale ? ox_op2(o, OP_MUL, x, quant_shaped(o, x, q->scale, q)) : x;
}

bool ox_write_dequantize_linear(Ox *o) {
  Node *x = ox_in(o, 0);
  int type = ox_in_type(o, 0);
  double lo, hi;
  Quants q;
  if (!x)
    return false;
  if (!quant_range(type, &lo, &hi) && type != OX_INT32)
    return ox_refuse(o, "values of type %s", ox_type_name(type));
  if (!quant_read(o, x, 1, 2, ox_int(o, "axis", 1),
                  ox_int(o, "block_size", 0), &q))
    return false;
  int to = (int)ox_int(o, "output_dtype", 0);
  if (!to)
    to = ox_in_type(o, 1);
  if (ox_held(to) != F32)
    return ox_malformed(o, "output_dtype is no type of floats");
  return ox_give_as(o, 0, quant_real(o, x, type, &q), to);
}

/* ---- to quantised values -------------------------------------------- */

/* A zero point that is one known number is added behind the clip, where
 * quant_real finds it. */
Node *quant_made(Ox *o, Node *x, int type, const Quants *q) {
  double lo, hi;
  Numbers z;
  if (!x || !quant_range(type, &lo, &hi))
    return NULL;
  Elem held = (Elem)ox_held(type);
  Node *zero = quant_shaped(o, x, q->zero, q);
  if (q->scale)
    x = ox_op2(o, OP_DIV, x, quant_shaped(o, x, q->scale, q));
  x = ox_op1(o, OP_ROUND, x);
  if (numbers_of(zero, 0, &z) && !z.at) {
    x = ox_clipped(o, x, lo - z.one, hi - z.one);
    if (z.one != 0)
      x = ox_with(o, OP_ADD, x, z.one);
  } else {
    x = ox_op2(o, OP_ADD, x, ox_cast(o, zero, F32));
    x = ox_clipped(o, x, lo, hi);
  }
  return ox_cast(o, x, held);
}

bool ox_write_quantize_linear(Ox *o) {
  Node *x = ox_in(o, 0);
  int type = (int)ox_int(o, "output_dtype", 0);
  double lo, hi;
  Quants q;
  if (ox_has_in(o, 2))
    type = ox_in_type(o, 2);
  if (!type)
    type = OX_UINT8;
  if (!quant_range(type, &lo, &hi))
    return ox_refuse(o, "values of type %s", ox_type_name(type));
  if (!quant_read(o, x, 1, 2, ox_int(o, "axis", 1),
                  ox_int(o, "block_size", 0), &q))
    return false;
  return ox_give_as(o, 0, quant_made(o, ox_cast(o, x, F32), type, &q), type);
}

/* ---- DynamicQuantizeLinear ------------------------------------------ */

/* The range of x, with 0 in it, on 0..255; a range of 0 has the scale 1. */
bool quant_dynamic(Ox *o, Node *x, Node **y, Node **scale, Node **zero) {
  Node *none = ox_scalar(o, F32, 0);
  Node *hi = ox_op2(o, OP_MAXIMUM, ox_reduce(o, OP_MAX, x, NULL, 0, false),
                    none);
  Node *lo = ox_op2(o, OP_MINIMUM, ox_reduce(o, OP_MIN, x, NULL, 0, false),
                    none);
  Node *s = ox_with(o, OP_DIV, ox_op2(o, OP_SUB, hi, lo), 255);
  s = ox_op3(o, OP_WHERE, ox_op2(o, OP_EQUAL, s, none),
             ox_scalar(o, F32, 1), s);
  Node *z = ox_op1(o, OP_NEG, ox_op2(o, OP_DIV, lo, s));
  z = ox_op1(o, OP_ROUND, ox_clipped(o, z, 0, 255));
  Quants q = {.scale = s, .zero = z};
  *y = quant_made(o, x, OX_UINT8, &q);
  *scale = s;
  *zero = ox_cast(o, z, U8);
  return *y && *zero;
}

bool ox_write_dynamic_quantize_linear(Ox *o) {
  Node *x = ox_in(o, 0), *y, *s, *z;
  return x && quant_dynamic(o, x, &y, &s, &z) &&
         ox_give_as(o, 0, y, OX_UINT8) && ox_give_as(o, 1, s, OX_FLOAT) &&
         ox_give_as(o, 2, z, OX_UINT8);
}

/* ---- operators in other operators' terms ---------------------------- */

Node *quant_delegate(Ox *o, OxWriter *write, const char *op, Node *const *in,
                     int nin) {
  const OxProto *outer = o->node;
  int opset = o->opset;
  OxProto n = *outer;
  char *name[4], *out;
  ensure(nin <= 4);
  for (int i = 0; i < nin; i++) {
    if (!in[i])
      return NULL;
    name[i] = arena_printf(o->a, "%s real %d", outer->output[0], i);
    ox_value_new(o, name[i], OX_FLOAT, in[i]);
  }
  out = arena_printf(o->m->arena, "%s real", outer->output[0]);
  n.op_type = (char *)op;
  n.input = name;
  n.n_input = (size_t)nin;
  n.output = &out;
  n.n_output = 1;
  o->node = &n;
  if (n.domain && *n.domain) {
    n.domain = "";
    o->opset = (int)(uintptr_t)map_get(&o->opsets, "");
  }
  bool ok = write(o);
  o->node = outer;
  o->opset = opset;
  return ok ? ox_use(o, ox_value(o, out)) : NULL;
}
