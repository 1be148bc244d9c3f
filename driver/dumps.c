/* dumps.c - modules as files: a program with its weights beside it, or a
 * folder of them that share one weights file. */
#include "driver/driver.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

typedef Vec(WeightTensor) Tensors;

static Type buffer_type(Elem e, size_t bytes) {
  int64_t n = (int64_t)(bytes / elem_size(e));
  return type_make(e, 1, &n);
}

/* Takes the reference to the data; values of a param that is stored in 16
 * bits are so in the file as well. */
static void tensor_add(Arena *a, Tensors *to, const char *name, Type t,
                       Elem stored, Buffer *data) {
  WeightTensor w = {name, t, data};
  if (stored != t.elem) {
    w.data = weights_round(&w, stored);
    w.type.elem = stored;
    buffer_unref(data);
  }
  vec_push(a, to, w);
}

/* Values, and for each element where its own stands among them. */
static void clusters_add(Arena *a, Tensors *to, const Param *p,
                         const char *name) {
  Elem stored = p->type.stored;
  float table[256];
  const float *v = (const float *)(const void *)p->data->data;
  size_t n = p->data->size / sizeof *v;
  int count = clusters_of(v, n, elem_clusters(stored), table);
  ensure(count > 0);
  Buffer *values = buffer_new((size_t)count * sizeof *table);
  Buffer *index = buffer_new(clusters_bytes(stored, n));
  uint8_t *at = arena_alloc(a, n + 1);
  memcpy(values->data, table, (size_t)count * sizeof *table);
  clusters_index(table, count, v, n, at);
  clusters_pack(stored, at, n, index->data);
  tensor_add(a, to, arena_printf(a, "%s.values", name),
             buffer_type(F32, values->size), F32, values);
  tensor_add(a, to, arena_printf(a, "%s.index", name),
             buffer_type(U8, index->size), U8, index);
}

/* The tensors that stand for a param in a file: itself, or its packed
 * values and index under `name`. */
static void param_tensors(Arena *a, Tensors *to, const Param *p,
                          const char *name) {
  bool few = elem_clusters(p->type.stored) > 0;
  Elem stored = few ? p->type.elem : type_stored(&p->type);
  if (!p->type.sparse) {
    if (!p->data) return;
    if (few) {
      clusters_add(a, to, p, name);
      return;
    }
    Type t = type_make(p->type.elem, p->type.rank, p->type.dim);
    tensor_add(a, to, name, t, stored, buffer_ref(p->data));
    return;
  }
  tensor_add(a, to, arena_printf(a, "%s.values", name),
             buffer_type(p->type.elem, p->values->size), stored,
             buffer_ref(p->values));
  tensor_add(a, to, arena_printf(a, "%s.index", name),
             buffer_type(U8, p->index->size), U8, buffer_ref(p->index));
}

static void tensors_free(Tensors *t) {
  for (size_t i = 0; i < t->n; i++) buffer_unref(t->at[i].data);
}

bool dump_has_weights(const char *path) {
  return path && strcmp(path, "-") != 0 && !path_in_place(path);
}

static bool weights_there(const Module *m) {
  for (size_t i = 0; i < m->params.n; i++)
    if (m->params.at[i]->type.sparse || m->params.at[i]->data) return true;
  return false;
}

static bool write(Diags *d, Module *m, const char *path, bool blocks) {
  Text t = {0};
  OutFile file[2] = {{0}};    /* weights, text */
  if (!outfile_open(&file[1], d, path ? path : "-")) return false;
  Arena *a = arena_new();
  Tensors all = {0};
  const char **key = arena_array(a, const char *, m->params.n + 1);
  bool stored = dump_has_weights(path) && weights_there(m);
  const char *weights = stored ? path_with_ext(a, path, ".safetensors") : NULL;
  if (blocks) module_print_blocks(&t, m, weights ? path_base(weights) : NULL,
                                  key);
  else module_print(&t, m, weights ? path_base(weights) : NULL);
  fputs(t.s, file[1].f);
  text_free(&t);
  for (size_t i = 0; weights && i < m->params.n; i++)
    param_tensors(a, &all, m->params.at[i],
                  blocks ? key[i] : m->params.at[i]->path);
  bool ok = !weights || outfile_open(&file[0], d, weights);
  if (ok && weights) safetensors_put(file[0].f, all.at, all.n);
  if (ok) ok = outfiles_commit(file, 2, d);
  else outfile_abort(&file[1]);
  tensors_free(&all);
  arena_free(a);
  return ok;
}

bool dump_write(Diags *d, Module *m, const char *path) {
  return write(d, m, path, false);
}

bool program_write(Diags *d, Module *m, const char *path) {
  return write(d, m, path, true);
}

/* ---- a folder of dumps ---------------------------------------------- */

/* A stored param: which buffers it had, and the name it got. */
typedef struct Stored {
  const char *path, *name;
  Buffer *data, *values, *index;
} Stored;
struct DumpDir {
  Arena *a;
  const char *dir;
  int count;
  Vec(Stored) stored;
  Tensors tensors;
};

DumpDir *dumpdir_new(Arena *a, const char *dir) {
  DumpDir *dd = arena_new_of(a, DumpDir);
  dd->a = a;
  dd->dir = dir;
  return dd;
}

static bool same_bytes(const Buffer *x, const Buffer *y) {
  if (x == y) return true;
  if (!x || !y || x->size != y->size) return false;
  return memcmp(x->data, y->data, x->size) == 0;
}

/* Name of the param's tensors in the shared file; new ones are added. */
static const char *store(DumpDir *dd, const Param *p, const char *pass) {
  bool taken = false;
  for (size_t i = 0; i < dd->stored.n; i++) {
    const Stored *s = &dd->stored.at[i];
    if (strcmp(s->path, p->path) != 0) continue;
    taken = true;
    if (same_bytes(s->data, p->data) && same_bytes(s->values, p->values) &&
        same_bytes(s->index, p->index))
      return s->name;
  }
  const char *name = taken ? arena_printf(dd->a, "%s@%s", p->path, pass)
                           : arena_strdup(dd->a, p->path);
  Stored s = {arena_strdup(dd->a, p->path), name, buffer_ref(p->data),
              buffer_ref(p->values), buffer_ref(p->index)};
  vec_push(dd->a, &dd->stored, s);
  Param copy = *p;
  param_tensors(dd->a, &dd->tensors, &copy, name);
  return name;
}

/* `weights "weights.safetensors"` with the names that params have there. */
static void weights_statement(Text *t, DumpDir *dd, const Module *m,
                              const char *pass) {
  size_t renamed = 0;
  text_puts(t, "  weights \"weights.safetensors\"");
  for (size_t i = 0; i < m->params.n; i++) {
    const Param *p = m->params.at[i];
    const char *name = store(dd, p, pass);
    if (strcmp(name, p->path) == 0) continue;
    text_printf(t, "%s    %s = ", renamed++ ? "" : " {\n", p->path);
    text_quote(t, name);
    text_puts(t, ";\n");
  }
  text_puts(t, renamed ? "  }\n" : ";\n");
}

bool dumpdir_add(DumpDir *dd, Diags *d, Module *m, const char *pass) {
  static const char plain[] = "  weights \"weights.safetensors\";\n";
  if (dd->count == 0 && mkdir(dd->dir, 0777) != 0 && errno != EEXIST)
    return diag_error_at(d, EXIT_FILE, dd->dir, "cannot make the folder: %s",
                         strerror(errno));
  Text t = {0}, out = {0};
  module_print(&t, m, m->params.n ? "weights.safetensors" : NULL);
  char *at = m->params.n ? strstr(t.s, plain) : NULL;
  if (at) {
    text_write(&out, t.s, (size_t)(at - t.s));
    weights_statement(&out, dd, m, pass);
    text_puts(&out, at + strlen(plain));
  } else {
    text_write(&out, t.s, t.n);
  }
  char *path = arena_printf(dd->a, "%s/%02d-%s.tam", dd->dir, dd->count++,
                            pass);
  bool ok = file_write(d, path, out.s, out.n);
  text_free(&t);
  text_free(&out);
  return ok;
}

bool dumpdir_finish(DumpDir *dd, Diags *d) {
  bool ok = dd->tensors.n == 0 ||
            safetensors_write(d, path_join(dd->a, dd->dir,
                                           "weights.safetensors"),
                              dd->tensors.at, dd->tensors.n);
  for (size_t i = 0; i < dd->stored.n; i++) {
    buffer_unref(dd->stored.at[i].data);
    buffer_unref(dd->stored.at[i].values);
    buffer_unref(dd->stored.at[i].index);
  }
  tensors_free(&dd->tensors);
  return ok;
}
