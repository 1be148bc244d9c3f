/* samples.c - samples for calibration, read one call after the other: arrays
 * by input name in an npz, one array in an npy or IDX file, a folder of
 * images. */
#include "frontend/samples.h"
#include "frontend/weights.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

struct SampleFiles {
  const char *path;
  SampleOpts o;
  Streams streams;       /* one an input; none: a folder */
  Vec(const char *) images;
  Buffer *raw;           /* of one call */
  int64_t at;            /* calls made */
};

/* ---- shapes --------------------------------------------------------- */

/* The dimensions [from, rank), without those of 1 where ones do not count. */
static int dims_list(const Type *t, int from, bool ones, int axis[MAX_RANK]) {
  int n = 0;
  for (int i = from; i < t->rank; i++)
    if (ones || t->dim[i] != 1) axis[n++] = i;
  return n;
}

static bool dim_fits(const Type *t, int axis, int64_t found) {
  if (!t->free || !axis_is_free(t, axis)) return t->dim[axis] == found;
  return found <= t->dim[axis] && found >= axis_least(t, axis);
}

/* Do axes [1, rank) of the array stand for axes [from, rank) of the input?
 * Then *out has their sizes. */
static bool axes_fit(const Stream *s, const Type *t, int from, Type *out) {
  int x[MAX_RANK], y[MAX_RANK];
  int n = dims_list(&s->type, 1, !s->picture, x);
  if (n != dims_list(t, from, !s->picture, y)) return false;
  *out = type_make(t->elem, t->rank, t->dim);
  for (int i = 0; i < n; i++) {
    if (!dim_fits(t, y[i], s->type.dim[x[i]])) return false;
    out->dim[y[i]] = s->type.dim[x[i]];
  }
  return true;
}

/* What a call takes of the array: its type, and how many samples.  The first
 * axis of the input is the batch, or a sample is the whole of it. */
static int64_t call_samples(const Stream *s, const Type *t, Type *out) {
  if (s->type.rank < 1) return 0;
  if (t->rank > 0 && axes_fit(s, t, 1, out)) {
    if (t->free && axis_is_free(t, 0)) out->dim[0] = axis_least(t, 0);
    return out->dim[0];
  }
  return axes_fit(s, t, 0, out) ? 1 : 0;
}

static bool shape_wrong(Arena *a, Diags *d, const Stream *s,
                        const SampleInput *in) {
  Text want = {0};
  text_printf(&want, "%s[samples", elem_name(in->type.elem));
  for (int i = 1; i < in->type.rank; i++)
    text_printf(&want, ",%s%lld",
                in->type.free && axis_is_free(&in->type, i) ? ".." : "",
                (long long)in->type.dim[i]);
  diag_error_at(d, EXIT_FILE, s->where, "expected %s] for the input '%s', "
                "found %s", want.s, in->name,
                weight_type_name(a, &s->type));
  text_free(&want);
  return false;
}

static bool elem_fits(Diags *d, const Stream *s, const SampleInput *in) {
  Elem from = s->type.elem, to = in->type.elem;
  if (!elem_is_float(from) || elem_is_float(to)) return true;
  return diag_error_at(d, EXIT_FILE, s->where, "expected integers for the "
                       "input '%s' of %s, found %s", in->name, elem_name(to),
                       elem_name(from));
}

/* ---- arrays --------------------------------------------------------- */

static bool mean_fits(Diags *d, const SampleFiles *f, const Stream *s,
                      const Type *t) {
  const ImageOpts *o = &f->o.image;
  if (!s->picture && (o->nmean || o->nscale))
    return diag_error_at(d, EXIT_FILE, s->where, "expected images or IDX of "
                         "bytes with mean= and scale=, found %s",
                         elem_name(s->type.elem));
  int c = t->rank == 4 ? (int)t->dim[1] : 1;
  if ((o->nmean > 1 && o->nmean != c) || (o->nscale > 1 && o->nscale != c))
    return diag_error_at(d, EXIT_FILE, s->where, "expected 1 or %d numbers "
                         "in mean= and scale=, found %d and %d", c, o->nmean,
                         o->nscale);
  return true;
}

/* One array for one input: calls and the call's type. */
static bool array_fits(Arena *a, Diags *d, SampleFiles *f, const Stream *s,
                       const SampleInput *in, Type *type, int64_t *calls) {
  int64_t each = call_samples(s, &in->type, type);
  if (each == 0) return shape_wrong(a, d, s, in);
  int64_t n = s->type.dim[0], most = f->o.most;
  if (!elem_fits(d, s, in) || !mean_fits(d, f, s, type)) return false;
  if (most && most < n) n = most;
  *calls = n / each;
  if (*calls > 0) return true;
  return diag_error_at(d, EXIT_FILE, s->where, "expected at least %lld "
                       "sample%s for the input '%s', found %lld",
                       (long long)each, each == 1 ? "" : "s", in->name,
                       (long long)n);
}

static int stream_find(const Streams *all, const char *name, size_t count) {
  for (size_t i = 0; i < all->n; i++)
    if (strcmp(all->at[i].name, name) == 0) return (int)i;
  return all->n == 1 && count == 1 ? 0 : -1;
}

static bool array_missing(Diags *d, const SampleFiles *f, const char *name) {
  Text found = {0};
  for (size_t i = 0; i < f->streams.n; i++)
    text_printf(&found, "%s%s", i ? ", " : "",
                *f->streams.at[i].name ? f->streams.at[i].name
                                       : "one array without a name");
  diag_error_at(d, EXIT_FILE, f->path, "expected an array for the input '%s', "
                "found %s", name, found.n ? found.s : "none");
  text_free(&found);
  return false;
}

/* Put the streams into the order of the inputs. */
static bool streams_match(Arena *a, Diags *d, Samples *s,
                          const SampleInput *in, size_t n) {
  SampleFiles *f = s->files;
  Streams order = {0};
  bool ok = true;
  for (size_t i = 0; i < n; i++) {
    int k = stream_find(&f->streams, in[i].name, n);
    int64_t calls = 0;
    if (k < 0) {
      ok = array_missing(d, f, in[i].name);
      continue;
    }
    const Stream *x = &f->streams.at[k];
    ok &= array_fits(a, d, f, x, &in[i], &s->type[i], &calls);
    if (ok && i > 0 && calls != s->calls)
      ok = diag_error_at(d, EXIT_FILE, x->where, "expected samples for %lld "
                         "calls as for the input '%s', found %lld",
                         (long long)s->calls, in[0].name, (long long)calls);
    s->calls = calls;
    int64_t each = s->type[i].rank && calls ? call_samples(x, &in[i].type,
                                                           &s->type[i]) : 1;
    if (i == 0 || each > s->each) s->each = each;
    vec_push(a, &order, *x);
  }
  if (!ok) return false;
  for (size_t i = 0; i < f->streams.n; i++)   /* of no input: not read */
    if (stream_find(&order, f->streams.at[i].name, n) < 0)
      vec_push(a, &order, f->streams.at[i]);
  f->streams = order;
  return true;
}

/* ---- reading -------------------------------------------------------- */

static void bytes_swap(uint8_t *p, size_t n, size_t size) {
  for (size_t i = 0; i < n; i++, p += size)
    for (size_t k = 0; k < size / 2; k++) {
      uint8_t b = p[k];
      p[k] = p[size - 1 - k];
      p[size - 1 - k] = b;
    }
}

static double picture_value(const ImageOpts *o, const Type *t, size_t i,
                            double byte) {
  size_t c = 0;
  if (t->rank == 4)
    c = i / (size_t)(t->dim[2] * t->dim[3]) % (size_t)t->dim[1];
  double mean = o->nmean ? o->mean[o->nmean > 1 ? c : 0] : 0;
  double scale = o->nscale ? o->scale[o->nscale > 1 ? c : 0] : 1;
  return (byte / 255 - mean) / scale;
}

static bool elem_move(Diags *d, const Stream *s, const void *from, size_t i,
                      Elem to, void *out) {
  Elem e = s->type.elem;
  if (elem_is_float(to)) {
    elem_store(to, out, i, elem_load(e, from, i));
    return true;
  }
  int64_t v = elem_load_int(e, from, i);
  bool past = v < 0 && (e == U64) != (to == U64);
  elem_store_int(to, out, i, v);
  if (!past && elem_load_int(to, out, i) == v) return true;
  return diag_error_at(d, EXIT_FILE, s->where, "%lld is no %s", (long long)v,
                       elem_name(to));
}

static bool array_next(Diags *d, Samples *s, size_t k, void *to) {
  SampleFiles *f = s->files;
  Stream *x = &f->streams.at[k];
  const Type *t = &s->type[k];
  size_t n = (size_t)type_elems(t), size = elem_size(x->type.elem);
  bool scaled = x->picture && elem_is_float(t->elem);
  if (!x->read(x, f->raw->data, n * size))
    return diag_error_at(d, EXIT_FILE, x->where, "damaged or cut short at "
                         "sample %lld", (long long)(f->at + 1));
  if (x->big_endian) bytes_swap(f->raw->data, n, size);
  for (size_t i = 0; i < n; i++)
    if (scaled)
      elem_store(t->elem, to, i,
                 picture_value(&f->o.image, t, i,
                               elem_load(x->type.elem, f->raw->data, i)));
    else if (!elem_move(d, x, f->raw->data, i, t->elem, to))
      return false;
  return true;
}

/* Room for the bytes of a call; those of all calls have to be there. */
static bool raw_make(Diags *d, Samples *s, size_t n) {
  size_t most = 0;
  for (size_t i = 0; i < n; i++) {
    Stream *x = &s->files->streams.at[i];
    size_t bytes = checked_mul((size_t)type_elems(&s->type[i]),
                               elem_size(x->type.elem));
    size_t all = checked_mul(bytes, (size_t)s->calls);
    if (bytes > most) most = bytes;
    if (x->has && !x->has(x, all))
      return diag_error_at(d, EXIT_FILE, x->where, "damaged or cut short: "
                           "expected %zu bytes of samples", all);
  }
  s->files->raw = buffer_new(most);
  return true;
}

/* ---- folders of images ---------------------------------------------- */

static bool is_image(const char *name) {
  static const char *const ends[] = {".png", ".jpg", ".jpeg"};
  size_t n = strlen(name);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t m = strlen(ends[i]);
    if (n > m && strcasecmp(name + n - m, ends[i]) == 0) return true;
  }
  return false;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool folder_list(Arena *a, Diags *d, SampleFiles *f) {
  DIR *dir = opendir(f->path);
  if (!dir)
    return diag_error_at(d, EXIT_FILE, f->path, "cannot read the folder: %s",
                         strerror(errno));
  for (struct dirent *e; (e = readdir(dir)) != NULL;)
    if (is_image(e->d_name))
      vec_push(a, &f->images, path_join(a, f->path, e->d_name));
  closedir(dir);
  if (!f->images.n)
    return diag_error_at(d, EXIT_FILE, f->path, "expected .png or .jpg files "
                         "in the folder, found none");
  qsort(f->images.at, f->images.n, sizeof *f->images.at, by_name);
  return true;
}

/* Each call takes one image; the first one is read for a try. */
static bool folder_open(Arena *a, Diags *d, Samples *s, const SampleInput *in,
                        size_t n) {
  SampleFiles *f = s->files;
  if (n != 1)
    return diag_error_at(d, EXIT_FILE, f->path, "expected a model with one "
                         "input for a folder of images, found %zu", n);
  if (!folder_list(a, d, f)) return false;
  s->type[0] = type_make(in->type.elem, in->type.rank, in->type.dim);
  if (in->type.free && axis_is_free(&in->type, 0))
    s->type[0].dim[0] = axis_least(&in->type, 0);
  s->calls = (int64_t)f->images.n;
  s->each = 1;
  if (f->o.most && f->o.most < s->calls) s->calls = f->o.most;
  Arena *scratch = arena_new();
  bool ok = image_read(scratch, d, f->images.at[0], &s->type[0],
                       &f->o.image) != NULL;
  arena_free(scratch);
  return ok;
}

static bool image_next(Diags *d, Samples *s, void *to) {
  SampleFiles *f = s->files;
  Arena *a = arena_new();
  const float *v = image_read(a, d, f->images.at[f->at], &s->type[0],
                              &f->o.image);
  if (v) memcpy(to, v, (size_t)type_elems(&s->type[0]) * sizeof *v);
  arena_free(a);
  return v != NULL;
}

/* ---- the whole ------------------------------------------------------ */

static bool streams_open(Arena *a, Diags *d, SampleFiles *f) {
  Buffer *b = buffer_map(d, f->path);
  if (!b) return false;
  bool ok;
  if (b->size >= 6 && memcmp(b->data, "\x93NUMPY", 6) == 0)
    ok = npy_stream(a, d, f->path, b, &f->streams);
  else if (b->size >= 4 && memcmp(b->data, "PK", 2) == 0)
    ok = npz_streams(a, d, f->path, &f->streams);
  else
    ok = idx_stream(a, d, f->path, &f->streams);
  buffer_unref(b);
  return ok;
}

Samples *samples_open(Arena *a, Diags *d, const char *path,
                      const SampleInput *in, size_t n, const SampleOpts *o) {
  Samples *s = arena_new_of(a, Samples);
  struct stat st;
  s->files = arena_new_of(a, SampleFiles);
  *s->files = (SampleFiles){.path = path, .o = *o};
  s->type = arena_array(a, Type, n + 1);
  s->n = n;
  bool ok = stat(path, &st) == 0 && S_ISDIR(st.st_mode)
            ? folder_open(a, d, s, in, n)
            : streams_open(a, d, s->files) &&
              streams_match(a, d, s, in, n) && raw_make(d, s, n);
  if (ok) return s;
  samples_close(s);
  return NULL;
}

bool samples_next(Samples *s, Diags *d, void *const *to) {
  SampleFiles *f = s->files;
  bool ok = true;
  ensure(f->at < s->calls);
  if (f->images.n) ok = image_next(d, s, to[0]);
  else
    for (size_t i = 0; i < s->n && ok; i++) ok = array_next(d, s, i, to[i]);
  f->at++;
  return ok;
}

void samples_close(Samples *s) {
  if (!s) return;
  streams_close(&s->files->streams);
  buffer_unref(s->files->raw);
  s->files->raw = NULL;
}
