/* elab_weights.c - values for the params: from the files that the weights
 * statements name, by layer path or by a renaming; drawn; or provided. */
#include "frontend/elab.h"

#include <ctype.h>
#include <string.h>

/* A weight file that was read, which of its tensors were taken, and where
 * it was asked for. */
typedef struct Opened {
  const char *path;
  Span at;               /* src NULL: --weights */
  WeightFile *w;         /* NULL: unreadable, said so */
  Map index;             /* name -> number + 1 */
  bool *used;
} Opened;

typedef struct Loader {
  Elab *e;
  Vec(Opened *) files;
  bool ok, without;      /* without: said that a param has no file */
} Loader;

/* ---- files ---------------------------------------------------------- */

/* An ONNX file has no mark at its beginning. */
static WeightFile *file_read(Elab *e, const char *path) {
  if (!path_is_onnx(path))
    return weights_read(e->a, e->d, path);
  Buffer *buf = buffer_map(e->d, path);
  WeightFile *w = buf ? onnx_parse(e->a, e->d, path, buf, e->o) : NULL;
  buffer_unref(buf);
  return w;
}

static Opened *file_open(Loader *l, const char *path, Span at) {
  Elab *e = l->e;
  for (size_t i = 0; i < l->files.n; i++)
    if (!strcmp(l->files.at[i]->path, path))
      return l->files.at[i];
  Opened *f = arena_new_of(e->a, Opened);
  f->path = path;
  f->at = at;
  vec_push(e->a, &l->files, f);
  f->w = file_read(e, path);
  if (!f->w) {
    l->ok = false;
    if (at.src)
      diag_note(e->d, at, "asked for here");
    return f;
  }
  if (e->o->on_file)
    e->o->on_file(e->o->on_file_ctx, path);
  f->used = arena_array(e->a, bool, f->w->tensors.n + 1);
  for (size_t i = 0; i < f->w->tensors.n; i++)
    if (!map_get(&f->index, f->w->tensors.at[i].name))
      map_put(e->a, &f->index, f->w->tensors.at[i].name,
              (void *)(uintptr_t)(i + 1));
  return f;
}

static const WeightTensor *tensor_take(Opened *f, const char *name) {
  size_t i = (size_t)(uintptr_t)map_get(&f->index, name);
  if (!i)
    return NULL;
  f->used[i - 1] = true;
  return &f->w->tensors.at[i - 1];
}

static void PRINTF_LIKE(3, 4) file_error(Loader *l, const Opened *f,
                        const char *fmt, ...) {
  Text t = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&t, fmt, ap);
  va_end(ap);
  if (f->at.src)
    diag_error(l->e->d, EXIT_FILE, f->at, "%s", t.s);
  else
    diag_error_at(l->e->d, EXIT_FILE, f->path, "%s", t.s);
  text_free(&t);
  l->ok = false;
}

static const char *shape_of(Elab *e, const Type *t) {
  Type plain = type_make(t->elem, t->rank, t->dim);
  Text s = {0};
  type_print(&s, &plain);
  char *r = arena_strdup(e->a, s.s);
  text_free(&s);
  return r;
}

/* ---- renaming ------------------------------------------------------- */

/* Segments of the key that the pattern with these indices covers, 0: none.
 * caps get the indices that [*] stands for. */
static size_t rename_match(const Path *p, const int64_t *at,
                           const PathSegs *key, int64_t *caps,
                           size_t *ncaps) {
  *ncaps = 0;
  if (p->segs.n > key->n)
    return 0;
  for (size_t i = 0; i < p->segs.n; i++) {
    const Seg *s = &p->segs.at[i];
    const PathSeg *k = &key->at[i];
    int64_t index = s->index ? *at++ : -1;
    if (strcmp(s->name, "*") && strcmp(s->name, k->name))
      return 0;
    if (s->any ? k->index < 0 : k->index != index)
      return 0;
    if (s->any && *ncaps < MAX_RANK)
      caps[(*ncaps)++] = k->index;
  }
  return p->segs.n;
}

/* $0, $1, ... become the indices. */
static void rename_write(Text *t, const char *to, const int64_t *caps,
                         size_t ncaps) {
  for (; *to; to++) {
    size_t k = (size_t)(to[0] == '$' && isdigit((unsigned char)to[1])
                        ? to[1] - '0' : 10);
    if (k < ncaps) {
      text_printf(t, "%lld", (long long)caps[k]);
      to++;
    } else {
      text_putc(t, *to);
    }
  }
}

/* The name in the file of the key: the longest pattern wins, and what it
 * leaves over of the key is appended. */
static const char *rename_key(Elab *e, const WeightsUse *w,
                              const char *key) {
  const Renames *renames = &w->stmt->renames;
  const int64_t *index = w->index;
  PathSegs segs = path_split(e->a, key);
  const Rename *best = NULL;
  size_t covered = 0;
  int64_t caps[MAX_RANK], now[MAX_RANK];
  size_t ncaps = 0, n;
  for (size_t i = 0; i < renames->n; i++) {
    const Path *p = renames->at[i].path;
    size_t c = rename_match(p, index, &segs, now, &n);
    for (size_t k = 0; k < p->segs.n; k++)
      if (p->segs.at[k].index)
        index++;
    if (c <= covered)
      continue;
    best = &renames->at[i];
    covered = c;
    ncaps = n;
    memcpy(caps, now, sizeof caps);
  }
  if (!best)
    return key;
  Text t = {0};
  text_puts(&t, "");
  rename_write(&t, best->to, caps, ncaps);
  const char *rest = key;
  for (size_t i = 0; i < covered; i++)
    rest += strcspn(rest, ".") + (rest[strcspn(rest, ".")] == '.');
  if (*rest)
    text_printf(&t, ".%s", rest);
  const char *name = arena_strdup(e->a, t.s);
  text_free(&t);
  return name;
}

/* `**` could match in more ways than one. */
static bool renames_check(Elab *e, const Stmt *s) {
  bool ok = true;
  for (size_t i = 0; i < s->renames.n; i++) {
    const Path *p = s->renames.at[i].path;
    for (size_t k = 0; k < p->segs.n; k++)
      if (!strcmp(p->segs.at[k].name, "**")) {
        elab_error(e, p->segs.at[k].span,
                   "'**' cannot stand in a renaming, only '*' and '[*]'");
        ok = false;
      }
  }
  return ok;
}

/* ---- one param ------------------------------------------------------ */

static void tensor_missing(Loader *l, const Opened *f, const Param *p,
                           const char *name, const char *expected) {
  const char *near = map_nearest(l->e->a, &f->index, name);
  const char *as = strcmp(p->path, name)
    ? arena_printf(l->e->a, " (as '%s')", name) : "";
  file_error(l, f, "param %s%s: expected a tensor %s in %s, found none%s%s%s",
             p->path, as, expected, f->path, near ? ", nearest is '" : "",
             near ? near : "", near ? "'" : "");
}

static void tensor_differs(Loader *l, const Opened *f, const Param *p,
                           const WeightTensor *t, const char *expected) {
  file_error(l, f, "param %s: expected %s, found %s as '%s' in %s", p->path,
             expected, shape_of(l->e, &t->type), t->name, f->path);
}

static bool floats(Elem a, Elem b) {
  return elem_is_float(a) && elem_is_float(b);
}

static void dense_load(Loader *l, Opened *f, Param *p, const char *name) {
  const WeightTensor *t = tensor_take(f, name);
  const char *want = shape_of(l->e, &p->type);
  if (!t) {
    tensor_missing(l, f, p, name, want);
    return;
  }
  bool other = t->type.elem != p->type.elem;
  if (!type_same_shape(&t->type, &p->type) ||
      (other && p->type.elem != F32 && !floats(t->type.elem, p->type.elem))) {
    tensor_differs(l, f, p, t, want);
    return;
  }
  Buffer *b = p->type.elem == F32 ? weights_to_f32(t)
              : other             ? weights_round(t, p->type.elem)
                                  : buffer_ref(t->data);
  param_set_data(p, b);
}

/* NAME.values and NAME.index, as a dump stores them. */
static void sparse_load(Loader *l, Opened *f, Param *p, const char *name) {
  Elab *e = l->e;
  const char *vname = arena_printf(e->a, "%s.values", name);
  const char *iname = arena_printf(e->a, "%s.index", name);
  const WeightTensor *v = tensor_take(f, vname), *x = tensor_take(f, iname);
  Type want = type_make(p->type.elem, 1, &p->type.sparse->nnz);
  if (!v || !x) {
    tensor_missing(l, f, p, v ? iname : vname,
                   v ? "u8[...]" : shape_of(e, &want));
    return;
  }
  bool widen = p->type.elem == F32;
  if (!type_same_shape(&v->type, &want) ||
      (!widen && v->type.elem != p->type.elem)) {
    tensor_differs(l, f, p, v, shape_of(e, &want));
    return;
  }
  if (x->type.elem != U8) {
    tensor_differs(l, f, p, x, "u8[...]");
    return;
  }
  p->values = widen ? weights_to_f32(v) : buffer_ref(v->data);
  p->index = buffer_ref(x->data);
  Text why = {0};
  if (!sparse_check(p, &why))
    file_error(l, f, "param %s: '%s' in %s does not fit its type: %s",
               p->path, iname, f->path, why.s);
  text_free(&why);
}

/* NAME.values, of f32, and NAME.index, which says where each stands there. */
static void clusters_load(Loader *l, Opened *f, Param *p, const char *name) {
  Elab *e = l->e;
  const char *vname = arena_printf(e->a, "%s.values", name);
  const char *iname = arena_printf(e->a, "%s.index", name);
  const WeightTensor *v = tensor_take(f, vname), *x = tensor_take(f, iname);
  int most = elem_clusters(p->type.stored);
  size_t n = (size_t)type_elems(&p->type);
  const char *want = arena_printf(e->a, "f32[1 to %d]", most);
  if (!v || !x) {
    tensor_missing(l, f, p, v ? iname : vname, v ? "u8[...]" : want);
    return;
  }
  if (v->type.elem != F32 || v->type.rank != 1 || v->type.dim[0] < 1 ||
      v->type.dim[0] > most) {
    tensor_differs(l, f, p, v, want);
    return;
  }
  int64_t bytes = (int64_t)clusters_bytes(p->type.stored, n);
  Type packed = type_make(U8, 1, &bytes);
  if (x->type.elem != U8 || !type_same_shape(&x->type, &packed)) {
    tensor_differs(l, f, p, x, shape_of(e, &packed));
    return;
  }
  Buffer *table = weights_to_f32(v);
  Buffer *b = clusters_expand(p->type.stored,
                              (const float *)(const void *)table->data,
                              (int)v->type.dim[0], x->data->data, n);
  buffer_unref(table);
  if (b)
    param_set_data(p, b);
  else
    file_error(l, f, "param %s: an index of '%s' in %s is beyond the %lld "
               "values of '%s'", p->path, iname, f->path,
               (long long)v->type.dim[0], vname);
}

/* The weights statement nearest around a param, its key there. */
static const WeightsUse *use_find(const Elab *e, const char *path,
                                  const char **key) {
  const WeightsUse *best = NULL;
  size_t longest = 0;
  for (size_t i = 0; i < e->weights.n; i++) {
    const WeightsUse *w = &e->weights.at[i];
    size_t n = strlen(w->prefix);
    bool in = !n || (!strncmp(path, w->prefix, n) && path[n] == '.');
    if (!in || (best && n < longest))
      continue;
    best = w;
    longest = n;
    *key = path + n + (n > 0);
  }
  return best;
}

static void param_unfilled(Loader *l, const Param *p) {
  if (!l->without)
    diag_error(l->e->d, EXIT_MODEL, p->span,
               "no weights for %s: expected `weights \"FILE\";` in the "
               "model, --weights or --random-weights", p->path);
  l->without = true;
  l->ok = false;
}

/* Several statements of one instance are asked in turn. */
static Opened *use_open(Loader *l, const WeightsUse *w, const char *key,
                        const char **name) {
  Elab *e = l->e;
  Opened *first = NULL;
  const char *first_name = key;
  for (size_t i = 0; i < e->weights.n; i++) {
    const WeightsUse *x = &e->weights.at[i];
    if (strcmp(x->prefix, w->prefix))
      continue;
    bool own = !e->o->weights || *w->prefix;
    const char *path = own ? path_join(e->a, x->dir, x->stmt->file.s)
                           : e->o->weights;
    Opened *f = file_open(l, path, own ? x->stmt->file.span : (Span){0});
    *name = rename_key(e, x, key);
    if (!f->w)
      return f;
    if (map_get(&f->index, *name) ||
        map_get(&f->index, arena_printf(e->a, "%s.values", *name)))
      return f;
    if (!first) {
      first = f;
      first_name = *name;
    }
  }
  *name = first_name;
  return first;
}

static void param_load(Loader *l, Param *p) {
  const char *key = p->path, *name = key;
  const WeightsUse *w = use_find(l->e, p->path, &key);
  Opened *f = NULL;
  if (w)
    f = use_open(l, w, key, &name);
  else if (l->e->o->weights)
    f = file_open(l, l->e->o->weights, (Span){0});
  else
    param_unfilled(l, p);
  if (!f || !f->w)
    return;
  bool indexed = elem_clusters(p->type.stored) &&
                 map_get(&f->index, arena_printf(l->e->a, "%s.index", name));
  if (p->type.sparse)
    sparse_load(l, f, p, name);
  else if (indexed)
    clusters_load(l, f, p, name);
  else
    dense_load(l, f, p, name);
}

static void param_draw(Loader *l, Param *p) {
  if (!p->type.sparse) {
    param_set_data(p, param_random(p, l->e->o->seed));
    return;
  }
  diag_error(l->e->d, EXIT_USAGE, p->span,
             "--random-weights cannot draw %s: expected a dense param",
             p->path);
  l->ok = false;
}

/* A counter that PyTorch's batch norm keeps beside its values. */
static bool is_counter(const char *name) {
  static const char end[] = ".num_batches_tracked";
  size_t n = strlen(name);
  return n >= sizeof end && strcmp(name + n + 1 - sizeof end, end) == 0;
}

static void unused_warn(const Loader *l, const Opened *f) {
  enum { SHOWN = 5 };
  size_t n = 0;
  Text t = {0};
  for (size_t i = 0; f->w && i < f->w->tensors.n; i++)
    if (!f->used[i] && !is_counter(f->w->tensors.at[i].name) &&
        n++ < SHOWN)
      text_printf(&t, "%s'%s'", n > 1 ? ", " : "", f->w->tensors.at[i].name);
  if (n > 0 && !l->e->o->again)
    diag_warning(l->e->d, f->at, "%zu tensor%s of %s not used: %s%s", n,
                 n == 1 ? "" : "s", f->path, t.s, n > SHOWN ? ", ..." : "");
  text_free(&t);
}

bool elab_weights(Elab *e) {
  Loader l = {.e = e, .ok = true};
  const LoadOpts *o = e->o;
  for (size_t i = 0; i < e->weights.n; i++)
    l.ok &= renames_check(e, e->weights.at[i].stmt);
  if (o->no_weights || !l.ok)
    return l.ok;
  for (size_t i = 0; i < e->m->params.n; i++) {
    Param *p = e->m->params.at[i];
    if (o->provide && o->provide(o->provide_ctx, p))
      continue;
    if (o->random_weights)
      param_draw(&l, p);
    else
      param_load(&l, p);
  }
  for (size_t i = 0; i < l.files.n; i++) {
    if (l.ok)
      unused_warn(&l, l.files.at[i]);
    weights_close(l.files.at[i]->w);
  }
  return l.ok;
}
