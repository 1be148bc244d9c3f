/* swap.c - what methods of the verb `student` share that swap convolutions of
 * selected weights for smaller ones. */
#include <string.h>

#include "passes/student.h"

/* What stands against it with any method; NULL: nothing. */
static const char *weight_why(Swap *x) {
  const char *why = layer_uses_of(x->arena, x->c->m, x->p, &x->uses);
  const Type *t = &x->p->type;
  if (why) return why;
  if (!op_is_conv(x->uses.at[0].n->op)) return "it is no convolution";
  if (type_elems(t) == 0) return "it has no elements";
  if (param_nonzeros(x->c->m, x->p) == 0) return "it is zero";
  x->groups = layer_groups(x->uses.at[0].n);
  x->taps = type_elems(t) / (t->dim[0] * t->dim[1]);
  if (x->taps == 1) return "its kernel has one tap";
  for (size_t i = 0; i < x->uses.n; i++)
    x->macs += (double)node_cost(x->c->m, x->uses.at[i].n).nonzero_macs;
  return NULL;
}

bool swap_leave(const Swap *x, const char *why) {
  verb_note(x->c, x->s, x->p->path, "left as it is: %s", why);
  return true;
}

bool swap_pays(const Swap *x, double macs) {
  if (macs < x->macs) return true;
  verb_note(x->c, x->s, x->p->path, "left as it is: it would take %.0f "
            "multiply-accumulates, and takes %.0f", macs, x->macs);
  return false;
}

bool swap_each(PassCtx *c, const RecipeStep *s, const StudentArgs *a,
               bool (*run)(Swap *)) {
  if (!step_finite(c, s)) return false;
  size_t n = s->params.n;
  Param *const *p = step_params(c, s);
  bool ok = true;
  for (size_t i = 0; ok && i < n; i++) {
    Swap x = {.c = c, .s = s, .a = a, .arena = arena_new(), .p = p[i]};
    const char *why = weight_why(&x);
    ok = why ? swap_leave(&x, why) : run(&x);
    arena_free(x.arena);
  }
  return ok;
}

Param *swap_part(const Swap *x, const char *part, int rank,
                 const int64_t *dim) {
  Module *m = x->c->m;
  Type t = type_make(F32, rank, dim);
  Buffer *b = buffer_new(checked_mul((size_t)type_elems(&t), sizeof(float)));
  const char *wish = path_part(m->arena, x->p->path, part);
  return module_add_param(m, module_fresh_path(m, wish), t, b);
}

Param *swap_bias(const Swap *x, const Param *w) {
  Module *m = x->c->m;
  const char *dot = strrchr(w->path, '.');
  const char *wish = dot && strcmp(dot, ".weight") == 0
    ? arena_printf(m->arena, "%.*s.bias", (int)(dot - w->path), w->path)
    : arena_printf(m->arena, "%s_bias", w->path);
  Type t = type_make(F32, 1, w->type.dim);
  Buffer *b = buffer_new(checked_mul((size_t)t.dim[0], sizeof(float)));
  return module_add_param(m, module_fresh_path(m, wish), t, b);
}

float *swap_values(const Param *p) { return (float *)(void *)p->data->data; }

const char *swap_path(const Swap *x, const Node *layer, const char *part) {
  return layer->path ? arena_printf(x->c->m->arena, "%s.%s", layer->path,
                                    part) : NULL;
}
