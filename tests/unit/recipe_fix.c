/* recipe_fix.c - see the header. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture.h"
#include "recipe_fix.h"

static const Target target = {
  "x86_64-linux-gnu", "x86-64-v3", "", "x86_64", 8, 16, true, true
};

TensorsFn *behind_tensors;

Behind behind(const char *text, ProvideFn *provide) {
  Behind b = {.d = diags_new(), .a = arena_new()};
  LoadOpts lo = {.random_weights = !provide, .seed = 3, .provide = provide};
  PipelineOpts o = {.target = &target, .opt = 2, .stop_after = "recipe",
                    .tensors = behind_tensors};
  b.was = tam_load_text(b.d, "<test>", text, strlen(text), &lo);
  lo.recipe = "r";
  b.m = tam_load_text(b.d, "<test>", text, strlen(text), &lo);
  if (b.m && !pipeline_run(&b.m, &o, b.d)) {
    module_free(b.m);
    b.m = NULL;
  }
  for (size_t i = 0; b.m && i < b.m->notes.n; i++)
    text_printf(&b.notes, "%s\n", b.m->notes.at[i]);
  if (!b.m) b.error = diags_text(b.d, false);
  return b;
}

Behind behind_ok(const char *text, ProvideFn *provide) {
  Behind b = behind(text, provide);
  if (!b.m) fail_msg("%s%s", text, b.error);
  assert_int_equal(b.m->recipe.n, 0);
  return b;
}

void behind_free(Behind *b) {
  if (b->was) module_free(b->was);
  if (b->m) module_free(b->m);
  free(b->error);
  text_free(&b->notes);
  arena_free(b->a);
  diags_free(b->d);
}

bool behind_has(const Behind *b, const char *path) {
  return module_param(b->m, path) != NULL;
}

const float *behind_values(const Behind *b, const char *path) {
  const Param *p = module_param(b->m, path);
  if (!p) fail_msg("no param %s", path);
  const float *v = param_values(b->m, p);
  assert_non_null(v);
  return v;
}

void param_fill(Param *p, double (*f)(int64_t i)) {
  int64_t n = type_elems(&p->type);
  p->data = buffer_new((size_t)n * sizeof(float));
  float *v = (float *)(void *)p->data->data;
  for (int64_t i = 0; i < n; i++) v[i] = (float)f(i);
}

const Tensor *behind_run(Behind *b, Module *m) {
  static const EvalOpts o = {0};
  Func *f = m->funcs.at[0];
  Tensor *in = arena_array(b->a, Tensor, f->inputs.n + 1);
  func_tidy(m, f);
  for (size_t i = 0; i < f->inputs.n; i++) {
    in[i] = tensor_new(b->a, &f->inputs.at[i]->type);
    for (int64_t k = 0; k < type_elems(&f->inputs.at[i]->type); k++)
      in[i].v[k] = random_unit("in", i, (uint64_t)k) - 0.5;
  }
  Tensor *all = func_eval(b->a, m, f, in, &o, true, b->d);
  assert_non_null(all);
  return &all[f->outputs.at[0].node->id];
}

double behind_apart(Behind *b, double *largest) {
  const Tensor *x = behind_run(b, b->was),
               *y = behind_run(b, b->m);
  const Type *t = &b->m->funcs.at[0]->outputs.at[0].node->type;
  double most = 0;
  *largest = 0;
  for (int64_t i = 0; i < type_elems(t); i++) {
    most = fmax(most, fabs(x->v[i] - y->v[i]));
    *largest = fmax(*largest, fabs(x->v[i]));
  }
  return most;
}
