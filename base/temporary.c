/* temporary.c - files and folders that do not outlive the process: what is
 * still known when a signal ends it, or an internal error, is removed. */
#include "base/base.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The newest first: files stand before the folder that they lie in. */
typedef struct Temporary {
  struct Temporary *next;
  char *path;
} Temporary;

static Temporary *known;
static const int deadly[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM};
enum { DEADLY = sizeof deadly / sizeof *deadly };

/* Only what may be called in a handler. */
void temporaries_remove(void) {
  for (const Temporary *t = known; t; t = t->next)
    if (unlink(t->path) != 0)
      rmdir(t->path);
}

static void die(int sig) {
  temporaries_remove();
  signal(sig, SIG_DFL);
  raise(sig);
}

/* A signal that is ignored stays so. */
static void handlers_install(void) {
  struct sigaction old, new = {.sa_handler = die};

  for (int i = 0; i < DEADLY; i++)
    if (sigaction(deadly[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
      sigaction(deadly[i], &new, NULL);
}

/* The handler must not see the list half changed. */
static void signals_block(sigset_t *old) {
  sigset_t set;

  sigemptyset(&set);
  for (int i = 0; i < DEADLY; i++)
    sigaddset(&set, deadly[i]);
  sigprocmask(SIG_BLOCK, &set, old);
}

void temporary_add(const char *path) {
  static bool installed;
  Temporary *t = malloc(sizeof *t);
  sigset_t old;

  ensure(t);
  t->path = strdup(path);
  ensure(t->path);
  signals_block(&old);
  t->next = known;
  known = t;
  sigprocmask(SIG_SETMASK, &old, NULL);
  if (!installed)
    handlers_install();
  installed = true;
}

void temporary_forget(const char *path) {
  sigset_t old;

  signals_block(&old);
  for (Temporary **at = &known; *at;) {
    Temporary *t = *at;

    if (strcmp(t->path, path) != 0) {
      at = &t->next;
      continue;
    }
    *at = t->next;
    free(t->path);
    free(t);
  }
  sigprocmask(SIG_SETMASK, &old, NULL);
}

void temporary_remove(const char *path) {
  if (unlink(path) != 0)
    rmdir(path);
  temporary_forget(path);
}
