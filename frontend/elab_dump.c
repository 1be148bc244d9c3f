/* elab_dump.c - what is special about a dump: its first line, and the check
 * that the program is what a pass could have left. */
#include "frontend/elab.h"

#include <string.h>

static bool dump_word(Elab *e, const Arg *arg, const char **out) {
  if (arg->value->kind == EXPR_STR) {
    *out = arg->value->s;
    return true;
  }
  elab_error(e, arg->span, "expected %s=\"...\"", arg->name.s);
  return false;
}

static bool dump_number(Elab *e, const Arg *arg, int64_t hi, int64_t *out) {
  const Expr *x = arg->value;
  if (x->kind == EXPR_INT && x->i <= hi) {
    *out = x->i;
    return true;
  }
  elab_error(e, arg->span, "expected %s=INTEGER of at most %lld",
             arg->name.s, (long long)hi);
  return false;
}

static bool dump_elem(Elab *e, const Arg *arg, Elem *out) {
  const Expr *x = arg->value;
  if (x->kind == EXPR_STR && elem_parse(x->s, out) &&
      (*out == F16 || *out == BF16))
    return true;
  elab_error(e, arg->span, "expected %s=\"f16\" or \"bf16\"", arg->name.s);
  return false;
}

static bool dump_arg(Elab *e, const Arg *arg, DumpInfo *d) {
  static const char *const names[] = {
    "after", "target", "cpu", "features", "sparsity", "opt", "arena",
    "code_budget", "weight_type"
  };
  const char **const words[] = {
    &d->after, &d->target, &d->cpu, &d->features, &d->sparsity
  };
  enum { WORDS = 5, OPT = 5, ARENA = 6, WEIGHT_TYPE = 8, COUNT = 9 };
  int64_t v;
  int k = 0;
  while (k < COUNT && strcmp(names[k], arg->name.s))
    k++;
  if (k < WORDS)
    return dump_word(e, arg, words[k]);
  if (k == COUNT) {
    const char *near = nearest_name(arg->name.s, names, COUNT);
    elab_error(e, arg->name.span, "'dump' has no '%s'%s%s%s", arg->name.s,
               near ? ", did you mean '" : "", near ? near : "",
               near ? "'?" : "");
    return false;
  }
  if (k == WEIGHT_TYPE)
    return dump_elem(e, arg, &d->weight_type);
  if (!dump_number(e, arg, k == OPT ? 4 : INT64_MAX / 2, &v))
    return false;
  if (k == OPT)
    d->opt = (int)v;
  else if (k == ARENA)
    d->arena_bytes = v;
  else
    d->code_budget = v ? v : -1;
  return true;
}

bool elab_dump_read(Elab *e, const File *f) {
  DumpInfo *d = &e->m->dump;
  bool ok = true;
  d->opt = -1;
  e->dump = f->has_dump;
  if (!f->has_dump)
    return true;
  for (size_t i = 0; i < f->dump.n; i++)
    ok &= dump_arg(e, &f->dump.at[i], d);
  if (ok && !d->after) {
    elab_error(e, f->dump_span, "'dump' needs after=\"PASS\"");
    ok = false;
  }
  return ok;
}

/* A dump may be edited by hand: what the verifier says is the user's. */
bool elab_dump_verify(Elab *e, const File *f) {
  Text why = {0};
  if (!e->dump || module_verify(e->m, &why)) {
    text_free(&why);
    return true;
  }
  diag_error(e->d, EXIT_MODEL, f->dump_span,
             "this is no program as it is after '%s': %s", e->m->dump.after,
             why.s);
  text_free(&why);
  return false;
}
