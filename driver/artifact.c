/* artifact.c - built shared objects: found by the one dynamic symbol of data
 * that ends in "_model", loaded, given buffers. */
#include "driver/driver.h"

#include "runtime/tamis_pthreadpool.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool artifact_is(const char *path) {
  FILE *f = fopen(path, "rb");
  char magic[4];
  bool is = f && fread(magic, 1, 4, f) == 4 && memcmp(magic, ELFMAG, 4) == 0;
  if (f) fclose(f);
  return is;
}

/* A section's bytes, NULL when they are not inside the file. */
static const uint8_t *section(const Buffer *b, const Elf64_Shdr *s) {
  if (s->sh_offset > b->size || s->sh_size > b->size - s->sh_offset)
    return NULL;
  return b->data + s->sh_offset;
}

static bool ends_in(const char *s, const char *end) {
  size_t n = strlen(s), m = strlen(end);
  return n > m && strcmp(s + n - m, end) == 0;
}

static const char *model_in(Arena *a, const Buffer *b,
                            const Elf64_Shdr *sym, const Elf64_Shdr *str) {
  const uint8_t *syms = section(b, sym), *names = section(b, str);
  if (!syms || !names || !str->sh_size || names[str->sh_size - 1])
    return NULL;
  for (size_t i = 0; i < sym->sh_size / sizeof(Elf64_Sym); i++) {
    Elf64_Sym s;
    memcpy(&s, syms + i * sizeof s, sizeof s);
    if (s.st_name >= str->sh_size || s.st_shndx == SHN_UNDEF ||
        ELF64_ST_TYPE(s.st_info) != STT_OBJECT ||
        s.st_size < sizeof ((tamis_model *)0)->size)
      continue;
    const char *name = (const char *)names + s.st_name;
    if (ends_in(name, "_model")) return arena_strdup(a, name);
  }
  return NULL;
}

/* The name of the descriptor in a 64-bit little-endian ELF file. */
static const char *model_symbol(Arena *a, const Buffer *b) {
  Elf64_Ehdr h;
  if (b->size < sizeof h) return NULL;
  memcpy(&h, b->data, sizeof h);
  if (memcmp(h.e_ident, ELFMAG, 4) != 0 ||
      h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_shoff > b->size ||
      (b->size - h.e_shoff) / sizeof(Elf64_Shdr) < h.e_shnum)
    return NULL;
  for (int i = 0; i < h.e_shnum; i++) {
    Elf64_Shdr sym, str;
    memcpy(&sym, b->data + h.e_shoff + (size_t)i * sizeof sym, sizeof sym);
    if (sym.sh_type != SHT_DYNSYM || sym.sh_link >= h.e_shnum) continue;
    memcpy(&str, b->data + h.e_shoff + sym.sh_link * sizeof str, sizeof str);
    const char *name = model_in(a, b, &sym, &str);
    if (name) return name;
  }
  return NULL;
}

/* Is the ELF file for machines like this one? */
static bool machine_fits(const Buffer *b) {
#if defined(__x86_64__)
  enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
  enum { MACHINE = EM_AARCH64 };
#else
  enum { MACHINE = EM_NONE };
#endif
  Elf64_Ehdr h;
  memcpy(&h, b->data, sizeof h);
  return MACHINE == EM_NONE || h.e_machine == MACHINE;
}

static size_t padded(uint64_t n) {
  return ((size_t)n + 63) / 64 * 64 + 64;
}

static void buffers(Loaded *l) {
  const tamis_model *m = l->model;
  size_t n = m->n_inputs + m->n_outputs;
  l->io = calloc(n + 4, sizeof *l->io);
  l->arena = aligned_alloc(64, padded(m->arena_bytes));
  ensure(l->io && l->arena);
  /* What is not cleared may hold subnormals, which slow arithmetic down. */
  memset(l->arena, 0, padded(m->arena_bytes));
  for (size_t i = 0; i < n; i++) {
    const tamis_tensor *t = i < m->n_inputs ? &m->inputs[i]
                                            : &m->outputs[i - m->n_inputs];
    l->io[i] = aligned_alloc(64, padded(t->bytes));
    ensure(l->io[i]);
    memset(l->io[i], 0, padded(t->bytes));
  }
  for (uint32_t i = 0; i < m->n_free; i++) l->dims[i] = m->free[i].most;
  if (m->n_free) l->io[n++] = l->dims;
  if (!m->reset) return;
  l->io[n] = l->state = aligned_alloc(64, padded(m->state_bytes));
  ensure(l->state);
  m->reset(l->state);
}

static bool version_fits(const tamis_model *v, const int64_t *dims) {
  for (uint32_t i = 0; i < v->n_free; i++)
    if (dims[i] < v->free[i].least || dims[i] > v->free[i].most) return false;
  return v->check_cpu() == 0;
}

void artifact_version(Loaded *l) {
  const tamis_model *m = l->model;
  l->version = m;
  for (uint32_t i = 0; i < m->n_versions && l->version == m; i++)
    if (version_fits(m->versions[i], l->dims)) l->version = m->versions[i];
}

static bool load(Loaded *l, Diags *d, Arena *a, const char *path,
                 const Buffer *file) {
  const char *symbol = model_symbol(a, file);
  if (!symbol)
    return diag_error_at(d, EXIT_FILE, path,
                         "expected a shared object built by tamis, found "
                         "none of its symbols (NAME_model)");
  if (!machine_fits(file))
    return diag_error_at(d, EXIT_UNSUPPORTED, path,
                         "built for another kind of machine: take it there "
                         "to run it");
  const char *name = strchr(path, '/') ? path
                                       : arena_printf(a, "./%s", path);
  l->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!l->handle)
    return diag_error_at(d, EXIT_FILE, path, "cannot load: %s", dlerror());
  l->model = dlsym(l->handle, symbol);
  if (!l->model || l->model->abi != TAMIS_ABI_VERSION ||
      l->model->size != sizeof(tamis_model))
    return diag_error_at(d, EXIT_FILE, path,
                         "expected a descriptor of ABI %d, found %d",
                         TAMIS_ABI_VERSION,
                         l->model ? (int)l->model->abi : -1);
  if (!l->model->weights && l->model->weight_bytes)
    return diag_error_at(d, EXIT_USAGE, path,
                         "built with --external-weights: only a program "
                         "that maps them can call it");
  if (l->model->check_cpu() != 0)
    return diag_error_at(d, EXIT_UNSUPPORTED, path,
                         "built for cpu %s (%s): this CPU lacks a feature",
                         l->model->cpu, l->model->target);
  buffers(l);
  artifact_version(l);
  return true;
}

bool artifact_open(Loaded *l, Diags *d, const char *path) {
  *l = (Loaded){0};
  Buffer *file = buffer_map(d, path);
  if (!file) return false;
  Arena *a = arena_new();
  bool ok = load(l, d, a, path, file);
  buffer_unref(file);
  arena_free(a);
  if (!ok) artifact_close(l);
  return ok;
}

void artifact_close(Loaded *l) {
  if (l->io) {
    for (size_t i = 0; i < l->model->n_inputs + l->model->n_outputs; i++)
      free(l->io[i]);
    free(l->state);
    free(l->io);
    free(l->arena);
  }
  if (l->pool.run) pthreadpool_destroy(l->pool.ctx);
  if (l->handle) dlclose(l->handle);
  *l = (Loaded){0};
}

bool artifact_threads(Loaded *l, Diags *d, const Options *o) {
  const tamis_model *m = l->model;
  int64_t n = 1;
  if (!o->run_threads) return true;
  if (!option_int(d, "--threads", o->run_threads, 1, 1024, &n)) return false;
  if (!m->threads)
    return diag_error_at(d, EXIT_USAGE, "--threads", "expected an artifact "
                         "built with --threads, found one without");
  if (n == 1) return true;
  pthreadpool_t threads = pthreadpool_create((size_t)n);
  if (!threads)
    return diag_error_at(d, EXIT_FILE, "--threads", "%lld threads cannot be "
                         "made", (long long)n);
  l->pool = tamis_pthreadpool(threads);
  l->io[m->n_inputs + m->n_outputs + (m->n_free > 0) + (m->reset != NULL)] =
    &l->pool;
  return true;
}

/* What is built has taken its options. */
static bool built_options(const Options *o, Diags *d) {
  const struct { bool given; const char *name; } t[] = {
    {o->target, "--target"}, {o->cpu, "--cpu"},
    {o->features, "--features"}, {o->opt, "-O"}, {o->recipe, "--recipe"},
    {o->model, "--model"}, {o->weights, "--weights"},
    {o->random_weights, "--random-weights"}, {o->sparsity, "--sparsity"},
    {o->sizes, "--sizes"},
    {o->roundtrip, "--roundtrip"},
  };
  bool ok = true;
  for (size_t i = 0; i < sizeof t / sizeof *t; i++)
    if (t[i].given)
      ok = diag_error_at(d, EXIT_USAGE, t[i].name, "expected a model to "
                         "compile, found the built %s", o->file);
  return ok;
}

bool artifact_of(Loaded *l, Session *s, const Options *o, Diags *d,
                 Arena *a, bool keep_source) {
  if (!session_open(s, o, d, a)) return false;
  s->keep_source = keep_source;
  if (artifact_is(o->file))
    return built_options(o, d) && artifact_open(l, d, o->file) &&
           artifact_threads(l, d, o) &&
           artifact_sizes(l, d, o, a, SIZES_BUILT);
  if (!session_load(s)) return false;
  if (!target_is_host(s->target.triple))
    return diag_error_at(d, EXIT_UNSUPPORTED, "--target",
                         "this machine cannot run code for %s: 'tamis "
                         "build' makes a library to take there",
                         s->target.triple);
  if (!session_compile(s)) return false;
  char *dir = folder_temporary(a, d);
  if (!dir) return false;
  char *so = folder_file(a, dir, "libmodel.so");
  char *header = folder_file(a, dir,
                             arena_printf(a, "%s.h", session_prefix(s)));
  EmitInfo info = {0};
  bool ok = session_emit(s, EMIT_SO, so, &info) &&
            artifact_open(l, d, so) && artifact_threads(l, d, o) &&
            artifact_sizes(l, d, o, a, SIZES_COMPILED);
  temporary_remove(so);
  temporary_remove(header);
  temporary_remove(dir);
  return ok;
}

Type artifact_type(const Loaded *l, const tamis_tensor *t) {
  ensure(t->rank >= 0 && t->rank <= MAX_RANK && t->elem < ELEM_COUNT);
  Type type = type_make((Elem)t->elem, t->rank, t->dims);
  for (int i = 0; t->sizes && i < t->rank; i++)
    type.dim[i] = size_at(&t->sizes[i], l->dims);
  return type;
}
