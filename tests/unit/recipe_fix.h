/* recipe_fix.h - modules behind the recipe `r` of a text, for tests of its
 * verbs. */
#ifndef TAMIS_RECIPE_FIX_H
#define TAMIS_RECIPE_FIX_H

#include "base/base.h"
#include "frontend/frontend.h"
#include "passes/passes.h"


extern TensorsFn *behind_tensors;   /* files that recipes read; or NULL */
/* Weights by `provide`, or (NULL) drawn. */
typedef bool ProvideFn(void *ctx, Param *p);
typedef struct Behind {
  Diags *d;
  Arena *a;
  Module *was, *m;       /* without the recipe; NULL after an error */
  char *error;           /* or NULL */
  Text notes;
} Behind;
Behind behind(const char *text, ProvideFn *provide);
/* The same; an error fails the test. */
Behind behind_ok(const char *text, ProvideFn *provide);
void behind_free(Behind *b);
/* Values of a param of m, which has to be there. */
const float *behind_values(const Behind *b, const char *path);
bool behind_has(const Behind *b, const char *path);
/* Give p the values of f(i). */
void param_fill(Param *p, double (*f)(int64_t i));
/* The first output of one of the two on drawn inputs. */
const Tensor *behind_run(Behind *b, Module *m);
/* By how much the first outputs of the two differ on drawn inputs, at most,
 * and the largest value of the first. */
double behind_apart(Behind *b, double *largest);

#endif
