/* depthwise.h - inside the depthwise kernel: what its forms share.  Each form
 * computes one channel (of half a plane, with threads) at a time. */
#ifndef TAMIS_DEPTHWISE_H
#define TAMIS_DEPTHWISE_H

#include "backend/tiles.h"

/* Kernels of more taps are a loop over them. */
enum { TAPS_UNROLLED = 25, BAND_MAX = 8 };

typedef struct Depth {
  const Conv *cv;
  int64_t taps;
  bool in_registers;      /* the weights of a channel */
  Elem elem;              /* of the weights */
  int64_t wbytes;
} Depth;

/* A channel: element (0,0) of its planes, weights, bias (NULL without). */
typedef struct Channel {
  Val x, y, r, w, bias;
  Val tap[TAPS_UNROLLED];
} Channel;

/* The weight of a tap in all lanes. */
Val depth_weight(Gen *g, const Depth *d, const Channel *ch, int64_t tap);
/* Pad columns of y to zero behind each row. */
int64_t depth_gap(const Conv *cv);
/* Zero the rows of y's halo, those above with the first half of the plane,
 * those below, from an element of the plane on, with the second. */
void depth_clear(Gen *g, const Depth *d, const Channel *ch, int half,
                 int64_t from);
/* Let elements [from, to) of a plane come into L1, a line each 64 bytes. */
void depth_prefetch(Gen *g, Val plane, int64_t from, int64_t to, bool write);
/* Rows of a band, `most` at most, so that bands have one height where the
 * rows allow it. */
int depth_rows_cut(int64_t rows, int64_t most);
/* Rows that are computed at once, of which `most` fit the registers. */
int depth_band(const Depth *d, int64_t most);
/* Bands of rows that are done for this half (all: -1): body for each. */
typedef void BandBody(Gen *g, const void *ctx, Val row, int band);
void depth_bands_walk(Gen *g, int64_t rows, int band, int half,
                      BandBody *body, const void *ctx);

/* What a form takes; the code for a channel; whether that has halves.  With
 * fewer registers than it wants beside them, weights stay in memory. */
typedef struct DepthForm {
  int wants;
  bool (*fits)(const Gen *g, const Depth *d);
  void (*emit)(Gen *g, const Depth *d, const Channel *ch, int half);
  bool (*halves)(const Gen *g, const Depth *d);
} DepthForm;
extern const DepthForm depth_line, depth_packed, depth_rows, depth_bands;

#endif
