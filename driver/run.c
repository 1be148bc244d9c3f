/* run.c - `tamis run`: one call on the user's data. */
#include "driver/driver.h"

#include <math.h>
#include <string.h>

/* What is run, whichever the engine: names, types and buffers. */
typedef struct Io {
  size_t nin, nout;
  const char **name;     /* inputs, then outputs */
  Type *type;
  void **data;
} Io;

static Io io_new(Arena *a, size_t nin, size_t nout) {
  size_t n = nin + nout;
  return (Io){nin, nout, arena_array(a, const char *, n),
              arena_array(a, Type, n), arena_array(a, void *, n)};
}

static bool io_read(Arena *a, Diags *d, const Options *o, Io *io) {
  if (!bindings_check(d, "--in", o->in.at, o->in.n, io->name, io->nin) ||
      !bindings_check(d, "--out", o->outs.at, o->outs.n, io->name + io->nin,
                      io->nout))
    return false;
  bool ok = true;
  for (size_t i = 0; i < io->nin; i++)
    ok &= input_read(a, d, o, io->name[i], i, io->nin, &io->type[i], NULL,
                      io->data[i]);
  return ok;
}

enum { SHOWN = 10 };

static void print_element(Elem e, const void *data, int64_t i) {
  char text[24];
  printf("  [%lld] ", (long long)i);
  if (elem_is_float(e)) printf("%g\n", elem_load(e, data, (size_t)i));
  else puts(int_text(text, e, elem_load_int(e, data, (size_t)i)));
}

/* Outputs that no --out takes are printed, the largest values first. */
static void print_output(const char *name, const Type *t, const void *data) {
  int64_t n = type_elems(t);
  Text x = {0};
  type_print(&x, t);
  printf("%s: %s\n", name, x.s);
  text_free(&x);
  double last = INFINITY, v, top;
  int64_t last_at = -1;
  for (int k = 0; k < SHOWN && k < n; k++) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++) {
      v = elem_load(t->elem, data, (size_t)i);
      bool after = v < last || (v == last && i > last_at);
      if (after && (best < 0 || v > top)) best = i, top = v;
    }
    if (best < 0) break;
    print_element(t->elem, data, best);
    last = top;
    last_at = best;
  }
  for (int64_t i = 0, k = 0; k < SHOWN && i < n; i++)
    if (isnan(elem_load(t->elem, data, (size_t)i)))
      printf("  [%lld] nan\n", (long long)i), k++;
  if (n > SHOWN) printf("  ... of %lld values\n", (long long)n);
}

/* All files or none. */
static bool io_write(Arena *a, Diags *d, const Options *o, const Io *io) {
  OutFile *file = arena_array(a, OutFile, io->nout + 1);
  bool ok = true;
  memset(file, 0, (io->nout + 1) * sizeof *file);
  for (size_t i = 0; ok && i < io->nout; i++) {
    size_t k = io->nin + i;
    const Binding *b = binding_find(o->outs.at, o->outs.n, io->name[k],
                                    io->nout == 1 ? 0 : 1);
    ok = !b || outfile_open(&file[i], d, b->value);
    if (ok && b) npy_put(file[i].f, &io->type[k], io->data[k]);
  }
  for (size_t i = 0; i < io->nout; i++) {
    size_t k = io->nin + i;
    if (!ok) outfile_abort(&file[i]);
    else if (!file[i].f)
      print_output(io->name[k], &io->type[k], io->data[k]);
  }
  return ok && outfiles_commit(file, io->nout, d);
}

/* No --out may replace a file that is read, or be there twice. */
static bool outs_check(Session *s, const Options *o) {
  Outputs all = {0};
  vec_push(s->arena, &s->files, o->file);
  for (size_t i = 0; i < o->in.n; i++)
    vec_push(s->arena, &s->files,      /* FILE[,OPTION...] */
             arena_strndup(s->arena, o->in.at[i].value,
                           strcspn(o->in.at[i].value, ",")));
  for (size_t i = 0; i < o->outs.n; i++)
    output_add(s, &all, "--out", o->outs.at[i].value);
  return outputs_check(s, &all);
}

static bool run_native(const Options *o, Diags *d, Arena *a) {
  Loaded l = {0};
  Session s;
  bool ok = artifact_of(&l, &s, o, d, a, false);
  if (ok) {
    const tamis_model *m = l.model;
    Io io = io_new(a, m->n_inputs, m->n_outputs);
    for (size_t i = 0; i < io.nin + io.nout; i++) {
      const tamis_tensor *t = i < io.nin ? &m->inputs[i]
                                         : &m->outputs[i - io.nin];
      io.name[i] = t->name;
      io.type[i] = artifact_type(&l, t);
      io.data[i] = l.io[i];
    }
    ok = io_read(a, d, o, &io) && outs_check(&s, o);
    if (ok) {
      int code = m->run(l.io, l.arena);
      if (code != 0) internal_error(__FILE__, __LINE__, "run gave %d", code);
      ok = io_write(a, d, o, &io);
    }
  }
  artifact_close(&l);
  session_close(&s);
  return ok;
}

static bool evaluate(Session *s, Io *io) {
  Func *f = s->module->funcs.at[0];
  Tensor *in = arena_array(s->arena, Tensor, io->nin + 1);
  for (size_t i = 0; i < io->nin; i++) {
    in[i] = tensor_new(s->arena, &io->type[i]);
    tensor_read(&in[i], io->data[i]);
  }
  /* Rounded as compiled code does it, so that integers which are made of
   * floats are the same. */
  EvalOpts e = {.round = true, .blas = true};
  Tensor *v = func_eval(s->arena, s->module, f, in, &e, false, s->diags);
  if (!v) return false;
  for (size_t i = 0; i < io->nout; i++)
    tensor_write(&v[f->outputs.at[i].node->id], io->data[io->nin + i]);
  return true;
}

static bool run_reference(const Options *o, Diags *d, Arena *a) {
  Session s;
  if (artifact_is(o->file))
    return diag_error_at(d, EXIT_USAGE, "--engine",
                         "reference: expected a model, found the built %s",
                         o->file);
  bool ok = session_open(&s, o, d, a) && session_load(&s);
  if (ok && s.module->free) {       /* the model at the sizes of the data */
    int64_t at[FREE_MOST];
    ok = module_sizes(&s, at);
    o = ok ? options_at(a, o, s.module->free, at) : o;
    session_close(&s);
    ok = ok && session_open(&s, o, d, a) && session_load(&s);
  }
  if (ok) s.stop_after = session_source_pass(&s);
  ok = ok && session_compile(&s);
  if (ok) {
    Func *f = s.module->funcs.at[0];
    func_tidy(s.module, f);
    Io io = io_new(a, f->inputs.n, f->outputs.n);
    for (size_t i = 0; i < io.nin + io.nout; i++) {
      const Node *n = i < io.nin ? f->inputs.at[i]
                                 : f->outputs.at[i - io.nin].node;
      io.name[i] = i < io.nin ? n->name : f->outputs.at[i - io.nin].name;
      io.type[i] = type_make(n->type.elem, n->type.rank, n->type.dim);
      io.data[i] = arena_alloc(a, (size_t)type_bytes(&io.type[i]) + 8);
    }
    ok = io_read(a, d, o, &io) && outs_check(&s, o) && evaluate(&s, &io) &&
         io_write(a, d, o, &io);
  }
  session_close(&s);
  return ok;
}

int cmd_run(const Options *o, Diags *d, Arena *a) {
  if (o->engine && strcmp(o->engine, "reference") == 0)
    run_reference(o, d, a);
  else
    run_native(o, d, a);
  return diags_exit_code(d);
}
