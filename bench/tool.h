/* tool.h - what the programs of the bench share. */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <stddef.h>

#include "bench/peer.h"

double now_ns(void);
/* Sorts v. */
double median_of(double *v, int n);
/* What follows NAME in an argument NAME...; else NULL. */
const char *option(const char *arg, const char *name);

/* Lines out of all caches, where a program has an instruction for that
 * (x86-64); they are out after flush_wait. */
void flush_lines(const void *at, size_t bytes);
void flush_wait(void);
/* The segments of the loaded object that has the address. */
void object_flush(const void *in, Flush *flush);

#endif
