/* param.c - the params of a module and the one way to their values. */
#include "ir/ir.h"

#include <string.h>

Param *module_param(Module *m, const char *path) {
  return map_get(&m->param_of, path);
}

Param *module_add_param(Module *m, const char *path, Type t, Buffer *data) {
  ensure(!module_param(m, path));
  Param *p = arena_new_of(m->arena, Param);
  p->path = arena_strdup(m->arena, path);
  p->type = t;
  p->data = data;
  p->order = (uint32_t)m->params.n;
  vec_push(m->arena, &m->params, p);
  map_put(m->arena, &m->param_of, p->path, p);
  return p;
}

/* Whether a new param must not be called so: no param, state or input is. */
static bool path_taken(Module *m, const char *path) {
  if (module_param(m, path) || module_state(m, path)) return true;
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->inputs.n; k++)
      if (strcmp(f->inputs.at[k]->name, path) == 0) return true;
  }
  return false;
}

const char *module_fresh_path(Module *m, const char *wish) {
  if (!path_taken(m, wish)) return arena_strdup(m->arena, wish);
  size_t n = strlen(wish);
  /* A path may end in an index, behind which no letter may stand. */
  const char *sep = n && wish[n - 1] == ']' ? ".v" : "_";
  size_t i = (size_t)(uintptr_t)map_get(&m->next_suffix, wish);
  if (!i) i = 2;
  Text t = {0};
  do {
    t.n = 0;
    text_printf(&t, "%s%s%zu", wish, sep, i++);
  } while (path_taken(m, t.s));
  const char *path = arena_strdup(m->arena, t.s);
  text_free(&t);
  map_put(m->arena, &m->next_suffix, arena_strdup(m->arena, wish),
          (void *)(uintptr_t)(i - 1));
  return path;
}

const char *path_part(Arena *a, const char *path, const char *part) {
  const char *dot = strrchr(path, '.');
  if (!dot || strcmp(dot, ".weight") != 0)
    return arena_printf(a, "%s.%s", path, part);
  return arena_printf(a, "%.*s.%s%s", (int)(dot - path), path, part, dot);
}

bool path_within(const char *path, const char *block) {
  size_t n = strlen(block);
  return strncmp(path, block, n) == 0 && (path[n] == 0 || path[n] == '.');
}

const char *const *recipe_parts(const char *verb, const char *method) {
  static const char *const factors[] = {"down", "up", NULL};
  static const char *const separable[] = {"depthwise", "pointwise", NULL};
  static const char *const slim[] = {
    "skip", "sse1.squeeze", "sse1.expand3.depth", "sse1.expand3.point",
    "sse1.expand1", "sse2.squeeze", "sse2.expand3.depth",
    "sse2.expand3.point", "sse2.expand1", "out.depth", "out.point", NULL,
  };
  if (strcmp(verb, "factor") == 0) return factors;
  if (strcmp(verb, "student") != 0 || !method) return NULL;
  return strcmp(method, "depthwise_separable") == 0 ? separable
         : strcmp(method, "slim") == 0 ? slim : NULL;
}

bool recipe_on_blocks(const char *verb, const char *method) {
  static const char *const methods[] = {"drop", "merge", "duplicate"};
  if (strcmp(verb, "student") != 0 || !method) return false;
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (strcmp(method, methods[i]) == 0) return true;
  return false;
}

void param_set_data(Param *p, Buffer *data) {
  buffer_unref(p->wide);
  p->wide = NULL;
  if (p->data != data) {
    buffer_unref(p->data);
    p->data = data;
  }
  if (!data) {
    buffer_unref(p->values);
    buffer_unref(p->index);
    p->values = p->index = NULL;
  }
}

int64_t param_bytes(const Param *p) {
  int64_t n = 0, narrow = 1;
  if (p->type.stored)
    narrow = elem_bits(p->type.elem) / elem_bits(p->type.stored);
  n += elem_clusters(p->type.stored) * (int64_t)sizeof(float);
  if (!p->type.sparse) return n + type_bytes(&p->type) / narrow;
  if (p->values) n += (int64_t)p->values->size / narrow;
  if (p->index) n += (int64_t)p->index->size;
  return n;
}

bool param_stored_check(const Param *p, Text *why) {
  const Type *t = &p->type;
  const Buffer *b = t->sparse ? p->values : p->data;
  const char *name = elem_name(t->stored);
  bool words = t->stored == F16 || t->stored == BF16;
  int most = elem_clusters(t->stored);
  if (t->elem != F32 || !(words || most)) {
    text_printf(why, "elements of %s cannot be stored as %s",
                elem_name(t->elem), name);
    return false;
  }
  if (!b) return true;
  if (most) {
    if (!clusters_hold(t->stored, b))
      text_printf(why, "expected at most %d values, 0.0 among them, for "
                  "cluster %d, found more", most, most);
    return clusters_hold(t->stored, b);
  }
  const float *v = (const float *)(const void *)b->data;
  size_t n = b->size / sizeof *v, i = elems_exact(t->stored, v, n);
  if (i == n) return true;
  text_printf(why, "value %zu is %.9g, which %s does not hold", i,
              (double)v[i], name);
  return false;
}

static Buffer *data_widen(const Param *p, size_t n) {
  Buffer *b = buffer_new(n * sizeof(float));
  elems_widen(p->type.elem, p->data->data, n, (float *)(void *)b->data);
  return b;
}

const float *param_values(Module *m, const Param *p) {
  (void)m;
  if (p->trainable || !(elem_is_float(p->type.elem) || p->type.elem == B1))
    return NULL;
  if (p->wide) return (const float *)(const void *)p->wide->data;
  int64_t n = type_elems(&p->type);
  ensure(n >= 0);
  /* The cache of a value is no change of it. */
  Param *own = (Param *)(uintptr_t)p;
  if (p->type.sparse) {
    if (!p->values || !p->index) return NULL;
    own->wide = sparse_expand(p);
  } else {
    if (!p->data) return NULL;
    ensure(p->data->size >= (size_t)n * elem_size(p->type.elem));
    bool aligned = (uintptr_t)p->data->data % sizeof(float) == 0;
    if (p->type.elem == F32 && aligned)
      return (const float *)(const void *)p->data->data;
    own->wide = data_widen(p, (size_t)n);
  }
  return (const float *)(const void *)p->wide->data;
}

const void *param_data(const Param *p) {
  if (p->trainable || p->type.sparse || !p->data) return NULL;
  ensure(p->data->size >= (size_t)type_bytes(&p->type));
  return p->data->data;
}

bool param_provide(void *module, Param *p) {
  const Param *old = module_param(module, p->path);
  if (!old) return false;
  p->data = buffer_ref(old->data);
  p->values = buffer_ref(old->values);
  p->index = buffer_ref(old->index);
  return true;
}
