/* tensorio.c - inputs of run, bench and check: npy files, images, drawn
 * numbers. */
#include "driver/driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const Binding *binding_find(const Binding *b, size_t nb, const char *name,
                            size_t index) {
  for (size_t i = 0; i < nb; i++)
    if (strcmp(b[i].name, name) == 0 || (!*b[i].name && index == 0))
      return &b[i];
  return NULL;
}

bool bindings_check(Diags *d, const char *opt, const Binding *b, size_t nb,
                    const char *const *names, size_t n) {
  bool ok = true;
  for (size_t i = 0; i < nb; i++) {
    bool known = !*b[i].name && n == 1;
    for (size_t k = 0; k < i; k++)
      if (strcmp(b[i].name, b[k].name) == 0 ||
          (n == 1 && (!*b[i].name || !*b[k].name)))
        return diag_error_at(d, EXIT_USAGE, opt, "'%s' is given twice",
                             n == 1 ? names[0] : b[i].name);
    Text list = {0};
    for (size_t k = 0; k < n; k++) {
      known |= strcmp(b[i].name, names[k]) == 0;
      text_printf(&list, "%s%s", k ? ", " : "", names[k]);
    }
    if (!known)
      ok = diag_error_at(d, EXIT_USAGE, opt, "'%s%s%s': expected NAME=FILE "
                         "with a name of %s", b[i].name,
                         *b[i].name ? "=" : "", b[i].value,
                         list.n ? list.s : "(none)");
    text_free(&list);
  }
  return ok;
}

static bool numbers(Diags *d, const char *opt, const char *key,
                    const char *v, int *n, double *to) {
  char *end;
  for (*n = 0; *n < 4; v = end + 1) {
    to[(*n)++] = strtod(v, &end);
    if (end == v || (*end && *end != ':')) break;
    if (!*end) return true;
  }
  return diag_error_at(d, EXIT_USAGE, opt,
                       "%s: expected one to four numbers between ':'", key);
}

static bool resize(Diags *d, const char *v, ImageOpts *io) {
  char *end;
  long h = strtol(v, &end, 10), w = 0;
  if (*end == 'x') w = strtol(end + 1, &end, 10);
  if (*end || h < 1 || w < 1 || h > 65536 || w > 65536)
    return diag_error_at(d, EXIT_USAGE, "--in",
                         "resize: expected HEIGHTxWIDTH, found '%s'", v);
  io->height = (int)h;
  io->width = (int)w;
  return true;
}

static bool image_opt(Diags *d, const char *opt, char *kv, ImageOpts *io) {
  char *eq = strchr(kv, '=');
  if (eq) {
    *eq = 0;
    if (strcmp(kv, "resize") == 0 && strcmp(opt, "--in") == 0)
      return resize(d, eq + 1, io);
    if (strcmp(kv, "mean") == 0)
      return numbers(d, opt, kv, eq + 1, &io->nmean, io->mean);
    if (strcmp(kv, "scale") == 0)
      return numbers(d, opt, kv, eq + 1, &io->nscale, io->scale);
    if (strcmp(kv, "order") == 0 &&
        (strcmp(eq + 1, "rgb") == 0 || strcmp(eq + 1, "bgr") == 0)) {
      io->bgr = eq[1] == 'b';
      return true;
    }
  }
  return diag_error_at(d, EXIT_USAGE, opt, "unknown image option '%s'; "
                       "expected %s, mean=A:B:C, scale=A:B:C or "
                       "order=rgb|bgr", kv, strcmp(opt, "--in") == 0
                       ? "resize=HxW" : "samples=N");
}

bool data_option(Arena *a, Diags *d, const char *v, DataOpts *out) {
  char *path = arena_strdup(a, v), *slash = strrchr(path, '/');
  char *opts = strchr(slash ? slash : path, ',');
  ImageOpts io = {0};
  int64_t samples = 0;
  if (opts) *opts++ = 0;
  for (char *save, *kv = opts ? strtok_r(opts, ",", &save) : NULL; kv;
       kv = strtok_r(NULL, ",", &save)) {
    bool count = strncmp(kv, "samples=", 8) == 0;
    if (count ? !option_int(d, "--data", kv + 8, 1, INT64_MAX, &samples)
              : !image_opt(d, "--data", kv, &io))
      return false;
  }
  for (int i = 0; i < io.nscale; i++)
    if (io.scale[i] == 0)
      return diag_error_at(d, EXIT_USAGE, "--data",
                           "scale: expected numbers but 0, found '%s'", v);
  *out = (DataOpts){.path = path, .samples = samples, .nmean = io.nmean,
                    .nscale = io.nscale, .bgr = io.bgr};
  memcpy(out->mean, io.mean, sizeof out->mean);
  memcpy(out->scale, io.scale, sizeof out->scale);
  return true;
}

static bool has_ext(const char *path, const char *ext) {
  size_t n = strlen(path), m = strlen(ext);
  return n >= m && strcasecmp(path + n - m, ext) == 0;
}

static bool image_in(Arena *a, Diags *d, const char *path, char *opts,
                     const Type *t, void *to) {
  ImageOpts io = {0};
  if (t->elem != F32)
    return diag_error_at(d, EXIT_USAGE, "--in", "'%s': an image goes to an "
                         "input of f32, found one of %s", path,
                         elem_name(t->elem));
  for (char *save, *kv = opts ? strtok_r(opts, ",", &save) : NULL; kv;
       kv = strtok_r(NULL, ",", &save))
    if (!image_opt(d, "--in", kv, &io)) return false;
  const float *v = image_read(a, d, path, t, &io);
  if (!v) return false;
  memcpy(to, v, (size_t)type_elems(t) * sizeof *v);
  return true;
}

const char *int_text(char out[24], Elem e, int64_t v) {
  if (e == U64) snprintf(out, 24, "%llu", (unsigned long long)v);
  else snprintf(out, 24, "%lld", (long long)v);
  return out;
}

/* Numbers of a file as elements of another type: floats are rounded,
 * integers have to be in range.  A u64 past the others' is negative here. */
static bool elems_convert(Diags *d, const char *path, const WeightTensor *from,
                          Elem to, void *out) {
  size_t n = (size_t)type_elems(&from->type);
  Elem e = from->type.elem;
  for (size_t i = 0; i < n; i++) {
    if (elem_is_float(to)) {
      elem_store(to, out, i, elem_load(e, from->data->data, i));
      continue;
    }
    int64_t v = elem_load_int(e, from->data->data, i);
    bool past = v < 0 && (e == U64) != (to == U64);
    char text[24];
    elem_store_int(to, out, i, v);
    if (past || elem_load_int(to, out, i) != v)
      return diag_error_at(d, EXIT_FILE, path, "element %zu: %s is no %s", i,
                           int_text(text, e, v), elem_name(to));
  }
  return true;
}

/* The file's tensor of that name, or its only one. */
static bool npy_in(Arena *a, Diags *d, const char *path, const char *name,
                   const Type *t, void *to) {
  WeightFile *w = weights_read(a, d, path);
  if (!w) return false;
  const WeightTensor *from = weights_find(w, name);
  if (!from && w->tensors.n == 1) from = &w->tensors.at[0];
  bool ok = from != NULL;
  if (!ok) {
    diag_error_at(d, EXIT_FILE, path,
                  "expected one tensor, or one named '%s', found %zu", name,
                  w->tensors.n);
  } else if (!type_same_shape(&from->type, t) ||
             (elem_is_float(from->type.elem) && !elem_is_float(t->elem))) {
    Text x = {0}, y = {0};
    Type want = type_make(t->elem, t->rank, t->dim);
    type_print(&x, &want);
    type_print(&y, &from->type);
    ok = diag_error_at(d, EXIT_FILE, path, "expected %s, found %s", x.s,
                       y.s);
    text_free(&x);
    text_free(&y);
  }
  ok = ok && elems_convert(d, path, from, t->elem, to);
  weights_close(w);
  return ok;
}

bool input_read(Arena *a, Diags *d, const Options *o, const char *name,
                size_t index, size_t count, const Type *t,
                const uint64_t *seed, void *to) {
  const Binding *b = binding_find(o->in.at, o->in.n, name,
                                  count == 1 ? index : 1);
  if (!b) {
    Text x = {0};
    Type plain = type_make(t->elem, t->rank, t->dim);
    type_print(&x, &plain);
    if (!seed)
      diag_error_at(d, EXIT_USAGE, "--in",
                    "input '%s' has no data: expected --in %s=FILE (%s)",
                    name, name, x.s);
    text_free(&x);
    if (!seed) return false;
    size_t n = (size_t)type_elems(t);
    for (size_t i = 0; i < n; i++) {
      double u = random_unit(name, *seed, i);
      elem_store(t->elem, to, i, elem_is_float(t->elem) ? 2 * u - 1
                                 : t->elem == B1 ? u < 0.5 : floor(10 * u));
    }
    return true;
  }
  char *path = arena_strdup(a, b->value);
  char *opts = strrchr(path, '/');
  opts = strchr(opts ? opts : path, ',');
  if (has_ext(path, ".npy")) opts = NULL;   /* a comma of the name */
  if (opts) *opts++ = 0;
  if (has_ext(path, ".png") || has_ext(path, ".jpg") ||
      has_ext(path, ".jpeg"))
    return image_in(a, d, path, opts, t, to);
  if (opts)
    return diag_error_at(d, EXIT_USAGE, "--in", "'%s' is no image: options "
                         "'%s' go with .png and .jpg", path, opts);
  return npy_in(a, d, path, name, t, to);
}
