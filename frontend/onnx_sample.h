/* onnx_sample.h - inside frontend/: values between the pixels of a map, at
 * points that are known only when the net runs. */
#ifndef TAMIS_ONNX_SAMPLE_H
#define TAMIS_ONNX_SAMPLE_H

#include "frontend/onnx_window.h"

typedef enum { OX_NEAREST, OX_LINEAR, OX_CUBIC } OxSampling;
/* What lies outside of a map: zeros, its border, or what is inside once
 * more: mirrored at the centres of the last pixels or at their edges. */
typedef enum { OX_ZEROS, OX_BORDER, OX_MIRROR_CENTRES, OX_MIRROR_EDGES }
    OxOutside;

/* A map [N,C,...] whose pixels are looked up. */
typedef struct OxMap {
  int n;                     /* axes */
  int64_t size[OX_AXES_MOST];
  OxSampling sampling;
  OxOutside outside;
  Node *rows;                /* [pixels, C] */
  int64_t stride[OX_AXES_MOST];   /* in rows */
  int64_t plane, first;      /* rows of a map; row of the first pixel */
} OxMap;

/* The pixels around points along one axis: their places [...,k] and their
 * weights, NULL for the nearest one alone. */
typedef struct OxTaps { Node *at, *weight; } OxTaps;

/* x [maps,C,...], of which C is brought to the end. */
bool ox_map(Ox *o, Node *x, OxSampling sampling, OxOutside outside,
            OxMap *map);
/* Points at `c`, of any shape, along an axis of the map. */
OxTaps ox_taps(Ox *o, const OxMap *map, int axis, Node *c);
/* The taps of all axes together, one list a point: rows of the map [...,K]
 * and weights [...,K]; `base` is added to the rows, one number a point. */
OxTaps ox_taps_join(Ox *o, const OxMap *map, const OxTaps *axes, Node *base);
/* The sums of the rows, [...,C]. */
Node *ox_taps_sum(Ox *o, const OxMap *map, OxTaps t);
/* 0, 1, ... times the rows of a map, i32 [n,1,...] of that rank. */
Node *ox_map_first(Ox *o, const OxMap *map, int64_t n, int rank);

#endif
