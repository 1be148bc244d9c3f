/* tamis_pthreadpool.h - a tamis_pool on a pool of the library pthreadpool
 * (Debian's libpthreadpool-dev; link with -lpthreadpool):
 *
 *   pthreadpool_t threads = pthreadpool_create(0);
 *   tamis_pool pool = tamis_pthreadpool(threads);
 *   net_run(x, y, &pool, arena);
 *
 * One call at a time may use a pool: others wait. */
#ifndef TAMIS_PTHREADPOOL_H
#define TAMIS_PTHREADPOOL_H

#include <pthreadpool.h>

#include "tamis.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline void tamis_pthreadpool_run(void *ctx,
                                         void (*task)(void *arg, size_t i),
                                         void *arg, size_t n) {
  pthreadpool_parallelize_1d((pthreadpool_t)ctx, task, arg, n, 0);
}

static inline tamis_pool tamis_pthreadpool(pthreadpool_t threads) {
  tamis_pool pool;
  pool.run = tamis_pthreadpool_run;
  pool.ctx = threads;
  return pool;
}

#ifdef __cplusplus
}
#endif
#endif
