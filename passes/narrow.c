/* narrow.c - pass `narrow`: weights that the artifact stores as f16 or bf16,
 * as --weight-type asks, get the values that it will hold.
 *
 * requires   constants folded and fused: a weight is final here
 * preserves  the graph; values of those weights are the nearest ones of that
 *            type, ties to even.  One that would become infinite is the
 *            user's error.  Weights that anything but convolution and linear
 *            reads, too, or that are trained, stay f32
 * before     param c.w: f32[8,8,1,1];                       (0.1, ...)
 * after      param c.w: f32[8,8,1,1] <stored=bf16>;         (0.10009765625)
 * source     IEEE 754-2019 (4.3.1, binary16); bfloat16 is the upper half of
 *            binary32 */
#include "passes/passes.h"

#include <math.h>

/* How a param is used in all functions. */
typedef struct Use { bool weight, other; } Use;

static void use_note(void *ctx, const Param *p, const Node *n, int k) {
  Use *u = (Use *)ctx + p->order;
  if (n && node_reads_weight(n, k)) u->weight = true;
  else u->other = true;
}

static bool too_large(PassCtx *c, const Param *p, float v) {
  bool half = c->weight_type == F16;
  return diag_error_at(c->d, EXIT_MODEL, "--weight-type",
                       "param %s: expected values of at most %s, found %.9g"
                       "%s", p->path, half ? "65504" : "3.38953139e38",
                       (double)v, half ? "; bf16 holds it" : "");
}

/* Round the values of p, of which there are n. */
static bool values_round(PassCtx *c, Param *p, const float *v, size_t n) {
  Elem e = c->weight_type;
  Buffer *words = buffer_new(n * elem_size(e) + 1);
  Buffer *to = buffer_new(n * sizeof *v);
  float *out = (float *)(void *)to->data;
  elems_narrow(e, v, n, words->data);
  elems_widen(e, words->data, n, out);
  buffer_unref(words);
  for (size_t i = 0; i < n; i++) {
    if (!isinf(out[i]) || isinf(v[i])) continue;
    buffer_unref(to);
    return too_large(c, p, v[i]);
  }
  param_set_data(p, to);
  p->type.stored = e;
  param_retype(c->m, p);
  return true;
}

bool pass_narrow(PassCtx *c) {
  if (!c->weight_type) return true;
  size_t n = c->m->params.n;
  bool ok = true;
  Use *use = arena_array(c->scratch, Use, n ? n : 1);
  for (size_t i = 0; i < n; i++) c->m->params.at[i]->order = (uint32_t)i;
  for (size_t i = 0; i < c->m->funcs.n; i++)
    params_walk(c->m->funcs.at[i], use_note, use);
  for (size_t i = 0; i < n; i++) {
    Param *p = c->m->params.at[i];
    const Type *t = &p->type;
    if (!use[i].weight || use[i].other || t->elem != F32 || t->sparse ||
        t->stored)
      continue;
    const float *v = param_values(c->m, p);
    if (v) ok &= values_round(c, p, v, (size_t)type_elems(t));
  }
  return ok;
}
