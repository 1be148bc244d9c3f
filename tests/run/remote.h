/* remote.h - calls of models on another machine: what goes through the pipe
 * between random_graphs and the runner (runner.c).  For each function a
 * RemoteCall, a RemoteShape for each input and output; then for each of its
 * calls one 32-bit number, whether the state is reset, and the inputs; back
 * come the outputs.  Both ends are little-endian. */
#ifndef TAMIS_REMOTE_H
#define TAMIS_REMOTE_H

#include <sys/types.h>

#include "tests/run/random_graphs.h"

typedef struct RemoteCall {
  char name[48];                  /* of the descriptor's symbol */
  uint32_t entry;                 /* 0: the model, else entries[entry - 1] */
  uint32_t n_inputs, n_outputs, calls;
} RemoteCall;

typedef struct RemoteShape {
  int64_t elem, rank, dim[MAX_RANK];
} RemoteShape;

/* remote.c: a runner at work. */
struct Remote {
  pid_t pid;
  FILE *to, *from;
};
/* Start `command` (for the shell) on a library. */
Remote *remote_open(Arena *a, const char *command, const char *so);
/* A function of the model of a seed is to be called some times. */
void remote_begin(Remote *r, uint64_t seed, const Func *f, int entry,
                  uint32_t calls);
/* One of its calls; io are the inputs, then room for the outputs.  False
 * when the runner has died; it has said why. */
bool remote_call(Remote *r, const Func *f, bool reset, void *const *io);
/* False when the runner did not end well. */
bool remote_close(Remote *r);

#endif
