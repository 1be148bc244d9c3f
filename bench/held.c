/* held.c - a preload that holds a process to AVX2 on a CPU that has more.
 *
 * cpuid is made to fault (arch_prctl of Linux on a CPU that can), and what a
 * library asks it is answered without AVX-512, AMX and what else came after
 * AVX2, so libraries without a switch of their own are held as well.
 * held_samples says whether they are: of so many looks at the process, one in
 * 10 ms of its time, how many found an AVX-512 instruction about to run.
 *
 * Signals have stacks of their own in every thread: on that of the AVX2 gemm
 * of oneDNN 2.6 they damage the heap.  The handlers are ours to the end: those
 * of TVM and DeepSparse, which would print a trace, are not taken. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_CPUID_SWITCH = 0x1012, NOT_HELD = 77, STACK = 1 << 16 };

unsigned long held_samples[2];  /* with AVX-512, all */

static long cpuid_allow(int yes) {
  return syscall(SYS_arch_prctl, ARCH_CPUID_SWITCH, yes);
}

typedef struct Answer { uint32_t a, b, c, d; } Answer;

static uint32_t bits(const char *list) {
  uint32_t m = 0;
  for (int n, at; sscanf(list, "%d%n", &n, &at) == 1; list += at)
    m |= UINT32_C(1) << n;
  return m;
}

/* Bits as Intel's manual numbers them (volume 2, CPUID). */
static Answer answer(uint32_t leaf, uint32_t part) {
  Answer r;
  cpuid_allow(1);
  __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
                   : "a"(leaf), "c"(part));
  cpuid_allow(0);
  if (leaf == 7 && part == 0) {
    r.b &= ~bits("16 17 21 26 27 28 30 31");    /* AVX-512 */
    r.c &= ~bits("1 6 11 12 14");
    r.d &= ~bits("2 3 8 22 23 24 25");          /* and AMX */
  } else if (leaf == 7 || leaf == 0x1d || leaf == 0x1e || leaf == 0x24) {
    r = (Answer){0};            /* AVX-VNNI and on, AMX, AVX10 */
  } else if (leaf == 0xd && part == 0) {
    r.a &= ~bits("5 6 7 17 18");        /* their state */
  }
  return r;
}

typedef int Action(int, const struct sigaction *, struct sigaction *);
typedef void (*Handler)(int);

/* The C library's. */
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static int real_action(int sig, const struct sigaction *new,
                       struct sigaction *old) {
  Action *f;
  *(void **)&f = real("sigaction");
  return f(sig, new, old);
}

static int is_ours(int sig) { return sig == SIGSEGV || sig == SIGPROF; }

int sigaction(int sig, const struct sigaction *new, struct sigaction *old) {
  return real_action(sig, is_ours(sig) ? NULL : new, old);
}

Handler signal(int sig, Handler h) {
  Handler (*f)(int, Handler);
  *(void **)&f = real("signal");
  return is_ours(sig) ? SIG_DFL : f(sig, h);
}

static void handle(int sig, void (*f)(int, siginfo_t *, void *)) {
  struct sigaction s;
  memset(&s, 0, sizeof s);
  s.sa_sigaction = f;
  s.sa_flags = f ? SA_SIGINFO | SA_RESTART | SA_ONSTACK : 0;
  real_action(sig, &s, NULL);
}

static void on_fault(int sig, siginfo_t *info, void *ctx) {
  greg_t *r = ((ucontext_t *)ctx)->uc_mcontext.gregs;
  const uint8_t *at = (const uint8_t *)r[REG_RIP];
  (void)info;
  if (at[0] != 0x0f || at[1] != 0xa2) {
    handle(sig, NULL);          /* a real one, which comes again */
    return;
  }
  Answer x = answer((uint32_t)r[REG_RAX], (uint32_t)r[REG_RCX]);
  r[REG_RAX] = x.a, r[REG_RBX] = x.b, r[REG_RCX] = x.c, r[REG_RDX] = x.d;
  r[REG_RIP] += 2;
}

/* EVEX, and nothing else in 64-bit code, begins with 0x62. */
static void on_tick(int sig, siginfo_t *info, void *ctx) {
  greg_t *r = ((ucontext_t *)ctx)->uc_mcontext.gregs;
  (void)sig, (void)info;
  held_samples[0] += *(const uint8_t *)r[REG_RIP] == 0x62;
  held_samples[1]++;
}

static void stack_make(void) {
  stack_t s = {.ss_sp = malloc(STACK), .ss_size = STACK};
  if (s.ss_sp) sigaltstack(&s, NULL);
}

typedef struct Start { void *(*run)(void *); void *arg; } Start;

static void *thread_run(void *p) {
  Start s = *(Start *)p;
  free(p);
  stack_make();
  return s.run(s.arg);
}

int pthread_create(pthread_t *t, const pthread_attr_t *how,
                   void *(*run)(void *), void *arg) {
  int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
                void *);
  Start *s = malloc(sizeof *s);
  *(void **)&create = real("pthread_create");
  if (!s) return EAGAIN;
  *s = (Start){run, arg};
  return create(t, how, thread_run, s);
}

__attribute__((constructor)) static void hold(void) {
  struct itimerval every = {{0, 10000}, {0, 10000}};
  if (cpuid_allow(0) != 0) {
    fprintf(stderr, "held: this machine cannot make cpuid fault\n");
    _exit(NOT_HELD);
  }
  stack_make();
  handle(SIGSEGV, on_fault);
  handle(SIGPROF, on_tick);
  setitimer(ITIMER_PROF, &every, NULL);
}
