/* remote.c - the calling end of remote.h. */
#include "tests/run/remote.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

Remote *remote_open(Arena *a, const char *command, const char *so) {
  Remote *r = arena_new_of(a, Remote);
  char *line = arena_printf(a, "exec %s \"$0\"", command);
  int in[2], out[2];
  ensure(pipe(in) == 0 && pipe(out) == 0);
  signal(SIGPIPE, SIG_IGN);
  fflush(NULL);
  r->pid = fork();
  ensure(r->pid >= 0);
  if (r->pid == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    for (int i = 0; i < 2; i++) close(in[i]), close(out[i]);
    execl("/bin/sh", "sh", "-c", line, so, (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  r->to = fdopen(in[1], "wb");
  r->from = fdopen(out[0], "rb");
  ensure(r->to && r->from);
  return r;
}

static const Type *type_at(const Func *f, size_t i) {
  return i < f->inputs.n ? &f->inputs.at[i]->type
                         : &f->outputs.at[i - f->inputs.n].node->type;
}

void remote_begin(Remote *r, uint64_t seed, const Func *f, int entry,
                  uint32_t calls) {
  RemoteCall c = {.entry = (uint32_t)entry,
                  .n_inputs = (uint32_t)f->inputs.n,
                  .n_outputs = (uint32_t)f->outputs.n, .calls = calls};
  snprintf(c.name, sizeof c.name, "g%llu_model", (unsigned long long)seed);
  fwrite(&c, sizeof c, 1, r->to);
  for (size_t i = 0; i < f->inputs.n + f->outputs.n; i++) {
    const Type *t = type_at(f, i);
    RemoteShape s = {.elem = t->elem, .rank = t->rank};
    for (int k = 0; k < t->rank; k++) s.dim[k] = t->dim[k];
    fwrite(&s, sizeof s, 1, r->to);
  }
}

bool remote_call(Remote *r, const Func *f, bool reset, void *const *io) {
  uint32_t begin = reset;
  fwrite(&begin, sizeof begin, 1, r->to);
  for (size_t i = 0; i < f->inputs.n; i++)
    fwrite(io[i], 1, (size_t)type_bytes(type_at(f, i)), r->to);
  if (fflush(r->to) != 0) return false;
  for (size_t i = 0; i < f->outputs.n; i++) {
    size_t at = f->inputs.n + i, bytes = (size_t)type_bytes(type_at(f, at));
    if (fread(io[at], 1, bytes, r->from) != bytes) return false;
  }
  return true;
}

bool remote_close(Remote *r) {
  int status;
  fclose(r->to);
  fclose(r->from);
  while (waitpid(r->pid, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
