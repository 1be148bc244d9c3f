/* ours.c - artifacts of one layer, as `tamis build` makes them. */
#include "bench/ours.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/tool.h"

enum { PATH = 512 };

static void name_of(const Maker *b, const Shape *s, const char *pattern,
                    int zeros, bool off, const char *end, char path[PATH]) {
  char tile[16];
  snprintf(tile, sizeof tile, "%s", pattern);
  if (strchr(tile, ':')) *strchr(tile, ':') = 'o';
  snprintf(path, PATH, "%s/%s_%ld_%ld_%ld_%ld_k%ld_s%ld_g%ld_%s%d%s%s",
           b->dir, s->op, s->c, s->h, s->w, s->o, s->k, s->stride, s->groups,
           tile, zeros, off ? "_off" : "", end);
}

static bool net_write(const Shape *s, const char *path, const char *weights) {
  FILE *f = fopen(path, "w");
  if (!f) return false;
  if (is_linear(s))
    fprintf(f, "model l(x: f32[%ld,%ld]) -> y: f32[%ld,%ld] {\n"
               "  y = x |> linear(%ld, bias=false) as layer;\n",
            s->h, s->c, s->h, s->o, s->o);
  else
    fprintf(f, "model l(x: f32[1,%ld,%ld,%ld]) -> y: f32[1,%ld,%ld,%ld] {\n"
               "  y = x |> %s(%ld, k=%ld, s=%ld, groups=%ld, bias=false, ",
            s->c, s->h, s->w, s->o, out_size(s, s->h), out_size(s, s->w),
            is_transposed(s) ? "conv_transpose" : "conv", s->o, s->k,
            s->stride, s->groups);
  if (is_transposed(s))
    fprintf(f, "pad=%ld, out_pad=%ld) as layer;\n", cut_front(s),
            cut_front(s) - cut_back(s));
  else if (!is_linear(s))
    fprintf(f, "pad=%ld) as layer;\n", s->k / 2);
  fprintf(f, "  weights \"%s\";\n}\n", strrchr(weights, '/') + 1);
  return fclose(f) == 0;
}

/* Transposed convolutions have [c,o/groups,k,k], of each group. */
static void values_write(const Shape *s, const float *w, FILE *f) {
  long c = s->c / s->groups, o = s->o / s->groups, taps = s->k * s->k;
  if (!is_transposed(s)) {
    fwrite(w, 4, (size_t)weight_count(s), f);
    return;
  }
  for (long i = 0; i < s->c; i++)
    for (long j = 0; j < o; j++)
      fwrite(w + ((i / c * o + j) * c + i % c) * taps, 4, (size_t)taps, f);
}

static bool weights_write(const Shape *s, const float *w, const char *path) {
  char head[256], dims[96];
  long n = weight_count(s);
  if (is_linear(s))
    snprintf(dims, sizeof dims, "%ld,%ld", s->o, s->c);
  else if (is_transposed(s))
    snprintf(dims, sizeof dims, "%ld,%ld,%ld,%ld", s->c, s->o / s->groups,
             s->k, s->k);
  else
    snprintf(dims, sizeof dims, "%ld,%ld,%ld,%ld", s->o, s->c / s->groups,
             s->k, s->k);
  snprintf(head, sizeof head, "{\"layer.weight\":{\"dtype\":\"F32\","
           "\"shape\":[%s],\"data_offsets\":[0,%ld]}}", dims, n * 4);
  FILE *f = fopen(path, "wb");
  if (!f) return false;
  uint64_t size = strlen(head);
  fwrite(&size, 8, 1, f);
  fwrite(head, 1, size, f);
  values_write(s, w, f);
  return fclose(f) == 0;
}

static bool tamis_run(const Maker *b, const char *net, const char *out,
                      bool off) {
  char cpu[64];
  snprintf(cpu, sizeof cpu, "--cpu=%s", b->cpu ? b->cpu : "native");
  pid_t child = fork();
  if (child == 0) {
    execl(b->tamis, "tamis", "build", net, "-o", out, cpu,
          off ? "--sparsity=off" : "--sparsity=auto", (char *)NULL);
    _exit(127);
  }
  int status = 1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return child > 0 && status == 0;
}

bool ours_build(const Maker *b, const Shape *s, const char *pattern,
                int zeros, bool off) {
  char net[PATH], weights[PATH], header[PATH], out[PATH];
  struct stat lib, compiler;
  name_of(b, s, pattern, zeros, off, ".so", out);
  if (stat(out, &lib) == 0 && stat(b->tamis, &compiler) == 0 &&
      lib.st_mtime >= compiler.st_mtime)
    return true;
  name_of(b, s, pattern, zeros, off, ".tam", net);
  name_of(b, s, pattern, zeros, off, ".safetensors", weights);
  name_of(b, s, pattern, zeros, off, ".h", header);
  float *w = weights_draw(s, pattern, zeros);
  bool ok = net_write(s, net, weights) && weights_write(s, w, weights) &&
            tamis_run(b, net, out, off);
  free(w);
  remove(net);
  remove(weights);
  remove(header);
  return ok;
}

/* x, y and the arena are the same memory for all artifacts: which pages meet
 * in a set of the second cache is luck, and makes a tenth. */
enum { ROOMS = 3 };

static void *room(int which, uint64_t bytes) {
  static const size_t most = (size_t)1 << 30;
  static void *rooms[ROOMS];
  if (!rooms[which])
    rooms[which] = mmap(NULL, most, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (rooms[which] == MAP_FAILED || bytes > most) {
    fprintf(stderr, "bench: no memory for a layer\n");
    exit(1);
  }
  return rooms[which];
}

/* A strided layer may be several, that which computes it the last; behind a
 * transposed one's convolutions their maps are put together. */
static void layer_steps(Ours *l) {
  for (uint32_t i = 0; i < l->m->n_steps; i++) {
    if (strcmp(l->m->steps[i].path, "layer") != 0) continue;
    l->step = &l->m->steps[i];
    if (!l->first) l->first = l->step;
    if (strcmp(l->step->kernel, "copy") != 0) l->kernel = l->step->kernel;
  }
}

Ours *ours_open(const Maker *b, const Shape *s, const char *pattern,
                int zeros, bool off, const float *x) {
  char path[PATH];
  name_of(b, s, pattern, zeros, off, ".so", path);
  if (!ours_build(b, s, pattern, zeros, off)) return NULL;
  Ours *l = calloc(1, sizeof *l);
  l->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  l->m = l->handle ? dlsym(l->handle, "l_model") : NULL;
  if (l->m && l->m->abi == TAMIS_ABI_VERSION) layer_steps(l);
  if (l->step && !l->kernel) l->kernel = l->step->kernel;
  if (!l->step || l->m->check_cpu() != 0) {
    if (l->handle) dlclose(l->handle);
    free(l);
    return NULL;
  }
  l->io[0] = room(0, l->m->inputs[0].bytes);
  l->io[1] = room(1, l->m->outputs[0].bytes);
  l->arena = room(2, l->m->arena_bytes);
  l->x = x;
  return l;
}

void ours_ready(void *job) {
  Ours *l = job;
  memcpy(l->io[0], l->x, l->m->inputs[0].bytes);
  l->m->run(l->io, l->arena);
}

void ours_run(void *job) {
  Ours *l = job;
  for (const tamis_step *s = l->first; s <= l->step; s++)
    s->run(l->io, l->arena, l->m->weights);
}

void ours_result(void *job, float *y) {
  Ours *l = job;
  ours_ready(l);
  memcpy(y, l->io[1], l->m->outputs[0].bytes);
}

void ours_flush(void *job, Flush *flush) {
  Ours *l = job;
  object_flush(l->m, flush);
  flush(l->io[0], l->m->inputs[0].bytes);
  flush(l->io[1], l->m->outputs[0].bytes);
  flush(l->arena, l->m->arena_bytes);
}

void ours_close(void *job) {
  Ours *l = job;
  dlclose(l->handle);
  free(l);
}
