/* cluster.h - few values in place of many. */
#ifndef TAMIS_CLUSTER_H
#define TAMIS_CLUSTER_H

#include "passes/passes.h"

/* At most k centroids of v[n], which is put in rising order, with the least
 * sum of squares of the distances to the nearest one: that of all choices
 * where v has up to 2048 values, else from where Lloyd's steps end.  How many
 * there are, rising. */
size_t centroids_find(Arena *a, float *v, size_t n, size_t k, double *c);
/* Write into out at most `most` values for w[n], 0 one of them, which zeros
 * alone get; the share of the squares that is lost. */
double weight_cluster(Arena *a, const float *w, size_t n, int most,
                      float *out);

#endif
