/* student.c - the recipe's verb `student`: a smaller net from a trained one,
 * its teacher, whose weights it begins with.
 *
 *   student BLOCKS with method=drop, every=2 | keep=[0, 5];
 *   student BLOCKS with method=merge, groups=2, init=mean | collapse;
 *   student BLOCKS with method=duplicate, times=2, share=true;
 *   student SELECTORS with method=narrow, width=0.5, criterion=magnitude;
 *   student SELECTORS with method=depthwise_separable;
 *   student SELECTORS with method=slim, squeeze=16, seed=0;
 *
 * requires   selected blocks, or weights with values
 * preserves  what the methods say in their own files
 * source     doc/language.md, "Students" */
#include <string.h>

#include "passes/student.h"

typedef bool StudentFn(PassCtx *, const RecipeStep *, const StudentArgs *);

static bool check_weights(PassCtx *c, const RecipeStep *s,
                          const StudentArgs *a) {
  (void)a;
  return step_finite(c, s);
}

static const struct {
  const char *name;
  StudentFn *check;      /* before all steps; NULL: nothing */
  StudentFn *run;
  const char *args;      /* that it takes besides `method` */
} methods[STUDENT_METHODS] = {
  [STUDENT_DROP] = {"drop", check_drop, student_drop, "every keep"},
  [STUDENT_MERGE] = {"merge", check_merge, student_merge, "groups init"},
  [STUDENT_DUPLICATE] = {"duplicate", check_duplicate, student_duplicate,
                         "times share"},
  [STUDENT_NARROW] = {"narrow", check_narrow, student_narrow,
                      "width criterion seed"},
  [STUDENT_SEPARABLE] = {"depthwise_separable", check_weights,
                         student_separable, ""},
  [STUDENT_SLIM] = {"slim", check_weights, student_slim, "squeeze seed"},
};

/* ---- arguments ------------------------------------------------------- */

static const char *parse_method(const Attr *v, void *args) {
  for (int i = 0; v->kind == ATTR_STR && i < STUDENT_METHODS; i++)
    if (strcmp(v->s, methods[i].name) == 0) {
      ((StudentArgs *)args)->method = i;
      return NULL;
    }
  return "drop, merge, duplicate, narrow, depthwise_separable or slim";
}

static const char *parse_count(const Attr *v, int64_t *out) {
  *out = v->i;
  return v->kind == ATTR_INT && v->i >= 2 && v->i <= 1024
           ? NULL : "a whole number from 2 to 1024";
}

static const char *parse_every(const Attr *v, void *args) {
  return parse_count(v, &((StudentArgs *)args)->every);
}

static const char *parse_groups(const Attr *v, void *args) {
  return parse_count(v, &((StudentArgs *)args)->groups);
}

static const char *parse_times(const Attr *v, void *args) {
  return parse_count(v, &((StudentArgs *)args)->times);
}

static const char *parse_keep(const Attr *v, void *args) {
  StudentArgs *a = args;
  a->keep = v->ints;
  a->nkeep = v->n;
  bool ok = v->kind == ATTR_INTS;
  for (int i = 0; ok && i < v->n; i++)
    ok = v->ints[i] >= 0 && (i == 0 || v->ints[i] > v->ints[i - 1]);
  return ok ? NULL : "rising numbers of blocks, as in [0, 5]";
}

static const char *parse_init(const Attr *v, void *args) {
  StudentArgs *a = args;
  bool mean = v->kind == ATTR_STR && strcmp(v->s, "mean") == 0;
  bool collapse = v->kind == ATTR_STR && strcmp(v->s, "collapse") == 0;
  a->init = collapse ? INIT_COLLAPSE : INIT_MEAN;
  return mean || collapse ? NULL : "mean or collapse";
}

static const char *parse_share(const Attr *v, void *args) {
  ((StudentArgs *)args)->share = v->i != 0;
  return v->kind == ATTR_BOOL ? NULL : "true or false";
}

static const char *parse_squeeze(const Attr *v, void *args) {
  ((StudentArgs *)args)->squeeze = v->i;
  return v->kind == ATTR_INT && v->i >= 2 && v->i <= 1024 && v->i % 2 == 0
           ? NULL : "an even number from 2 to 1024";
}

static const char *parse_width(const Attr *v, void *args) {
  StudentArgs *a = args;
  bool ok = arg_number(v, &a->width) && a->width > 0 && a->width < 1;
  return ok ? NULL : "a share between 0.0 and 1.0";
}

static const char *parse_criterion(const Attr *v, void *args) {
  static const char *const names[] = {"magnitude", "l2", "random"};
  for (int i = 0; v->kind == ATTR_STR && i < 3; i++)
    if (strcmp(v->s, names[i]) == 0) {
      ((StudentArgs *)args)->criterion = v->s;
      return NULL;
    }
  return "magnitude, l2 or random";
}

static const char *parse_seed(const Attr *v, void *args) {
  ((StudentArgs *)args)->seed = v->i;
  return v->kind == ATTR_INT && v->i >= 0 ? NULL
                                          : "a whole number from 0 on";
}

static bool student_args(PassCtx *c, const RecipeStep *s, StudentArgs *a) {
  static const VerbArg rows[] = {
    {"method", parse_method}, {"every", parse_every}, {"keep", parse_keep},
    {"groups", parse_groups}, {"init", parse_init}, {"times", parse_times},
    {"share", parse_share}, {"width", parse_width},
    {"criterion", parse_criterion}, {"seed", parse_seed},
    {"squeeze", parse_squeeze},
  };
  *a = (StudentArgs){.method = -1, .nkeep = -1, .times = 2,
                     .criterion = "magnitude"};
  if (!verb_args(c, s, rows, sizeof rows / sizeof *rows, a)) return false;
  if (a->method < 0)
    return diag_error(c->d, EXIT_MODEL, s->span, "student: expected method=, "
                      "found none");
  if (!method_takes(c, s, methods[a->method].name, methods[a->method].args))
    return false;
  return a->every == 0 || a->nkeep < 0 ||
         diag_error(c->d, EXIT_MODEL, s->span, "student: expected one of "
                    "every= and keep=, found both");
}

bool check_student(PassCtx *c, const RecipeStep *s) {
  StudentArgs a;
  return student_args(c, s, &a) &&
         (!methods[a.method].check || methods[a.method].check(c, s, &a));
}

bool verb_student(PassCtx *c, const RecipeStep *s) {
  StudentArgs a;
  return student_args(c, s, &a) && methods[a.method].run(c, s, &a);
}
