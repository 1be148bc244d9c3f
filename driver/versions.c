/* versions.c - build --cpu=A+B: the model is compiled for each CPU. */
#include "driver/driver.h"

#include <string.h>

bool versions_wanted(const Options *o) {
  return o->cpu && strchr(o->cpu, '+');
}

static bool misses(Diags *d, const char *cpus) {
  return diag_error_at(d, EXIT_USAGE, "--cpu", "expected 2 to %d names with "
                       "a + between them, found '%s'", VERSIONS_MOST, cpus);
}

/* A copy of the options for each name. */
static bool names_split(Versions *v, const Options *o, Diags *d, Arena *a) {
  for (const char *p = o->cpu; p; p = *p ? p + 1 : NULL) {
    size_t n = strcspn(p, "+");
    if (n == 0 || v->n == VERSIONS_MOST) return misses(d, o->cpu);
    v->o[v->n] = *o;
    v->o[v->n++].cpu = arena_strndup(a, p, n);
    p += n;
    if (*p == '+' && !p[1]) return misses(d, o->cpu);
  }
  return true;
}

/* The most demanding first, others in the order of their names. */
static void sort(Versions *v) {
  for (int i = 1; i < v->n; i++)
    for (int k = i; k > 0; k--) {
      Session s = v->at[k];
      if (target_demands(&s.target) <= target_demands(&v->at[k - 1].target))
        break;
      v->at[k] = v->at[k - 1];
      v->at[k - 1] = s;
    }
}

/* `native` is one of the names. */
static bool all_differ(const Versions *v, const char *given, Diags *d) {
  for (int i = 0; i < v->n; i++)
    for (int k = 0; k < i; k++)
      if (strcmp(v->at[k].target.cpu, v->at[i].target.cpu) == 0)
        return diag_error_at(d, EXIT_USAGE, "--cpu", "expected names that "
                             "differ, found %s twice in '%s'",
                             v->at[i].target.cpu, given);
  return true;
}

/* A version behind one that runs wherever it does would never be taken. */
static bool all_reached(const Versions *v, Diags *d) {
  for (int i = 0; i < v->n; i++)
    for (int k = 0; k < i; k++) {
      const Target *a = &v->at[k].target, *b = &v->at[i].target;
      if (!target_covers(b, a)) continue;
      return diag_error_at(d, EXIT_USAGE, "--cpu", "code for %s and for %s "
                           "has the same instruction sets: expected names "
                           "that differ in them", a->cpu, b->cpu);
    }
  return true;
}

/* Elsewhere code uses what all CPUs of the architecture have. */
static bool arch_has_several(const Versions *v, const char *given, Diags *d) {
  const Target *t = &v->at[0].target;
  return strcmp(t->arch, "x86_64") == 0 ||
         diag_error_at(d, EXIT_UNSUPPORTED, "--cpu", "code for %s is the same "
                       "on all its CPUs: expected one, found '%s'",
                       t->triple, given);
}

/* The file is read once: it may be a pipe. */
static bool version_load(Versions *v, int i, Diags *d, Arena *a) {
  Session *s = &v->at[i];
  if (!session_open(s, &v->o[i], d, a)) return false;
  s->several = true;
  s->text = i ? v->at[0].text : NULL;
  return session_load(s);
}

bool versions_load(Versions *v, const Options *o, Diags *d, Arena *a) {
  *v = (Versions){0};
  if (!names_split(v, o, d, a)) return false;
  int n = v->n;
  for (v->n = 0; v->n < n; v->n++)
    if (!version_load(v, v->n, d, a)) {
      v->n++;               /* to be closed */
      return false;
    }
  sort(v);
  v->cpus = v->at[0].target.cpu;
  for (int i = 1; i < v->n; i++)
    v->cpus = arena_printf(a, "%s+%s", v->cpus, v->at[i].target.cpu);
  return all_differ(v, o->cpu, d) && arch_has_several(v, o->cpu, d) &&
         all_reached(v, d);
}

bool versions_have(const Options *o, const tamis_model *m, Diags *d,
                   Arena *a) {
  Versions *v = arena_new_of(a, Versions);
  Target t;
  bool found = false;
  if (!names_split(v, o, d, a)) return false;
  for (int i = 0; i < v->n; i++) {
    if (!target_resolve(a, d, o->target, v->o[i].cpu, o->features, &t))
      return false;
    found |= !strcmp(t.cpu, m->cpu) && !strcmp(t.features, m->features);
  }
  return found ||
         diag_error_at(d, EXIT_USAGE, "--cpu", "expected the CPUs of %s, "
                       "found '%s': what runs here was built for %s%s%s",
                       o->so, o->cpu, m->cpu, *m->features ? " " : "",
                       m->features);
}

bool versions_compile(Versions *v) {
  for (int i = 0; i < v->n; i++)
    if (!session_compile(&v->at[i])) return false;
  return true;
}

bool versions_emit(Versions *v, EmitKind kind, const char *out,
                   EmitInfo *info) {
  /* What callers see is built for the least demanding one. */
  Target least = v->at[v->n - 1].target;
  EmitOpts o = session_emit_opts(&v->at[0], kind, out);
  least.cpu = v->cpus;
  o.target = &least;
  return sessions_emit(v->at, v->n, &o, info);
}

void versions_close(Versions *v) {
  for (int i = 0; i < v->n; i++) session_close(&v->at[i]);
}
