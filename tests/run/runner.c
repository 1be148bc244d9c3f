/* runner.c - runs built models on the machine that they are built for, for
 * tests whose other half is on another one: cross-compiled, started under
 * qemu.
 *   runner LIB.so          calls as they come on standard input (remote.h)
 *   runner LIB.so MODEL INPUT.npy EXPECT.npy COUNT
 *                          the first COUNT calls of a net with one input and
 *                          one output, which must be as expected to 1e-3 of
 *                          their largest magnitude
 * Each call runs on a painted stack, which must stay within its bound. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "tests/run/remote.h"

static _Noreturn void die(const char *what, const char *name) {
  fprintf(stderr, "runner: %s: %s\n", name, what);
  exit(1);
}

/* ---- a call on a painted stack --------------------------------------- */

enum { STACK = 1 << 18, PAINT = 0xa5 };
static ucontext_t back, there;
static const tamis_model *model;
static tamis_entry entry;       /* what is called of it */
static void **call_io;
static void *call_arena;
static int result;

static void call(void) { result = entry.run(call_io, call_arena); }

static void run_model(void) {
  static unsigned char *stack;
  if (!stack) stack = malloc(STACK);
  if (!stack || getcontext(&there) != 0) die("no stack", model->name);
  memset(stack, PAINT, STACK);
  there.uc_stack.ss_sp = stack;
  there.uc_stack.ss_size = STACK;
  there.uc_link = &back;
  makecontext(&there, call, 0);
  if (swapcontext(&back, &there) != 0) die("no context", model->name);
  if (result != TAMIS_OK) die("run does not return 0", model->name);
  size_t low = 0;
  while (low < STACK && stack[low] == PAINT) low++;
  if (STACK - low > model->stack_bytes) die("too much stack", model->name);
}

/* ---- a model and its buffers ----------------------------------------- */

static Fence *buffer, arena;
static size_t count;            /* of inputs and outputs */

static const tamis_tensor *tensor(size_t i) {
  return i < entry.n_inputs ? &entry.inputs[i]
                            : &entry.outputs[i - entry.n_inputs];
}

static void model_open(void *lib, const char *name, size_t number) {
  model = dlsym(lib, name);
  if (!model) die("no such symbol", name);
  if (model->abi != TAMIS_ABI_VERSION || model->size != sizeof *model)
    die("another ABI", name);
  if (model->check_cpu() != 0) die("this CPU cannot run it", name);
  if (number > model->n_entries) die("has no such entry", name);
  tamis_entry self = {model->name, model->n_inputs, model->n_outputs,
                      model->inputs, model->outputs, model->run};
  entry = number ? model->entries[number - 1] : self;
  count = entry.n_inputs + entry.n_outputs;
  buffer = calloc(count + 1, sizeof *buffer);
  call_io = calloc(count + 2, sizeof *call_io);
  if (!buffer || !call_io) die("no memory", name);
  arena = fence_new(model->arena_bytes);
  call_arena = arena.at;
  for (size_t i = 0; i <= count; i++) {
    buffer[i] = fence_new(i < count ? tensor(i)->bytes : model->state_bytes);
    call_io[i] = buffer[i].at;
  }
  /* There may be a pool in place of a state. */
  if (model->state_bytes == 0) call_io[count] = NULL;
}

static void model_close(void) {
  for (size_t i = 0; i <= count; i++) {
    if (!fence_intact(&buffer[i])) die("wrote before a buffer", model->name);
    fence_free(&buffer[i]);
  }
  if (!fence_intact(&arena)) die("wrote before the arena", model->name);
  fence_free(&arena);
  free(buffer);
  free(call_io);
}

/* ---- calls on standard input ----------------------------------------- */

static void get(void *to, size_t n) {
  if (n && fread(to, 1, n, stdin) != n) die("input ends early", "stdin");
}

static void shapes_check(const RemoteCall *c) {
  if (c->n_inputs != entry.n_inputs || c->n_outputs != entry.n_outputs)
    die("has other inputs and outputs than the model", c->name);
  for (size_t i = 0; i < count; i++) {
    RemoteShape s;
    get(&s, sizeof s);
    bool fits = s.rank == tensor(i)->rank && s.elem == tensor(i)->elem;
    for (int k = 0; fits && k < s.rank; k++)
      fits = s.dim[k] == tensor(i)->dims[k];
    if (!fits) die("descriptor and model disagree", c->name);
  }
}

static void serve_call(const RemoteCall *c) {
  uint32_t reset;
  get(&reset, sizeof reset);
  if (reset && model->reset) model->reset(call_io[count]);
  for (size_t i = 0; i < entry.n_inputs; i++)
    get(buffer[i].at, tensor(i)->bytes);
  run_model();
  for (size_t i = entry.n_inputs; i < count; i++)
    fwrite(buffer[i].at, 1, tensor(i)->bytes, stdout);
  if (fflush(stdout) != 0) die("cannot write", c->name);
}

static void serve(void *lib) {
  RemoteCall c;
  while (fread(&c, 1, sizeof c, stdin) == sizeof c) {
    model_open(lib, c.name, c.entry);
    shapes_check(&c);
    for (uint32_t i = 0; i < c.calls; i++) serve_call(&c);
    model_close();
  }
}

/* ---- a net on files -------------------------------------------------- */

/* Version 1 of the format, u8 as 0..1 or f32; nothing else is needed. */
static float *npy_read(const char *path, size_t n) {
  unsigned char head[10];
  char text[1024];
  FILE *f = fopen(path, "rb");
  if (!f || fread(head, 1, 10, f) != 10) die("cannot be read", path);
  size_t length = head[8] | (size_t)head[9] << 8;
  if (length >= sizeof text || fread(text, 1, length, f) != length)
    die("has a long head", path);
  text[length] = 0;
  bool bytes = strstr(text, "'|u1'") != NULL;
  if (!bytes && !strstr(text, "'<f4'")) die("is no f32 or u8", path);
  float *v = calloc(n, sizeof *v);
  unsigned char *raw = (unsigned char *)v + (bytes ? 3 * n : 0);
  size_t size = bytes ? 1 : sizeof *v;
  if (!v || fread(raw, size, n, f) != n) die("is too short", path);
  for (size_t i = 0; bytes && i < n; i++) v[i] = (float)raw[i] / 255.0f;
  fclose(f);
  return v;
}

static void net_check(char **argv) {
  size_t calls = (size_t)strtoull(argv[5], NULL, 10);
  if (model->n_inputs != 1 || model->n_outputs != 1)
    die("has not one input and one output", argv[2]);
  size_t in = model->inputs[0].bytes / 4, out = model->outputs[0].bytes / 4;
  float *x = npy_read(argv[3], calls * in);
  float *want = npy_read(argv[4], calls * out);
  const float *y = (const float *)(void *)buffer[1].at;
  double top = 0, worst = 0;
  for (size_t c = 0; c < calls; c++) {
    memcpy(buffer[0].at, x + c * in, in * 4);
    run_model();
    for (size_t i = 0; i < out; i++) {
      double r = want[c * out + i], off = fabs((double)y[i] - r);
      if (fabs(r) > top) top = fabs(r);
      if (!(off <= worst)) worst = off;
    }
  }
  printf("%s: %zu calls, error %.1e of max|r|\n", argv[2], calls,
         worst / top);
  if (!(worst <= 1e-3 * top)) die("results differ", argv[2]);
  free(x);
  free(want);
}

int main(int argc, char **argv) {
  if (argc != 2 && argc != 6) die("expected LIB.so [MODEL X Y N]", "usage");
  void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!lib) die(dlerror(), argv[1]);
  if (argc == 2) {
    serve(lib);
    return 0;
  }
  model_open(lib, argv[2], 0);
  net_check(argv);
  model_close();
  return 0;
}
