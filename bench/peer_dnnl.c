/* peer_dnnl.c - oneDNN 2: convolutions, transposed ones and inner products,
 * each in the layouts that the library prefers. */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/peer.h"

typedef struct Job {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t op;
  dnnl_memory_t x, w, y;
  dnnl_memory_desc_t plain_y;
  dnnl_exec_arg_t arg[3];
} Job;

static const char *version(void) {
  static char text[32];
  const dnnl_version_t *v = dnnl_version();
  snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
  return text;
}

static void move(Job *j, dnnl_memory_t from, dnnl_memory_t to) {
  const dnnl_memory_desc_t *a, *b;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t op;
  dnnl_memory_get_memory_desc(from, &a);
  dnnl_memory_get_memory_desc(to, &b);
  if (dnnl_reorder_primitive_desc_create(&pd, a, j->engine, b, j->engine,
                                         NULL) != dnnl_success)
    abort();
  dnnl_primitive_create(&op, pd);
  dnnl_exec_arg_t arg[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
  dnnl_primitive_execute(op, j->stream, 2, arg);
  dnnl_stream_wait(j->stream);
  dnnl_primitive_destroy(op);
  dnnl_primitive_desc_destroy(pd);
}

/* Memory in the operation's layout, filled from plain data if there are. */
static dnnl_memory_t place(Job *j, dnnl_query_t what,
                           const dnnl_memory_desc_t *plain,
                           const float *data) {
  const dnnl_memory_desc_t *d = dnnl_primitive_desc_query_md(j->pd, what, 0);
  dnnl_memory_t to, from;
  dnnl_memory_create(&to, d, j->engine, DNNL_MEMORY_ALLOCATE);
  if (!data) return to;
  dnnl_memory_create(&from, plain, j->engine, (void *)(size_t)data);
  move(j, from, to);
  dnnl_memory_destroy(from);
  return to;
}

static dnnl_memory_desc_t desc(int n, const dnnl_dim_t *dim,
                               dnnl_format_tag_t tag) {
  dnnl_memory_desc_t d;
  dnnl_memory_desc_init_by_tag(&d, n, dim, dnnl_f32, tag);
  return d;
}

typedef struct Plain { dnnl_memory_desc_t x, w, y; } Plain;

/* What is prepared, of maps, from their descriptions in any layout. */
typedef struct Maps {
  dnnl_memory_desc_t x, w, y;
  dnnl_dims_t step, front, back;
} Maps;

static dnnl_status_t forward(Job *j, const Maps *m) {
  dnnl_convolution_desc_t d;
  dnnl_convolution_forward_desc_init(&d, dnnl_forward_inference,
                                     dnnl_convolution_direct, &m->x, &m->w,
                                     NULL, &m->y, m->step, m->front, m->back);
  return dnnl_primitive_desc_create(&j->pd, &d, NULL, j->engine, NULL);
}

static dnnl_status_t transposed(Job *j, const Maps *m) {
  dnnl_deconvolution_desc_t d;
  dnnl_deconvolution_forward_desc_init(
      &d, dnnl_forward_inference, dnnl_deconvolution_direct, &m->x, &m->w,
      NULL, &m->y, m->step, m->front, m->back);
  return dnnl_primitive_desc_create(&j->pd, &d, NULL, j->engine, NULL);
}

static dnnl_status_t conv(Job *j, const Shape *s, Plain *p) {
  long g = s->groups;
  dnnl_dims_t x = {1, s->c, s->h, s->w};
  dnnl_dims_t y = {1, s->o, out_size(s, s->h), out_size(s, s->w)};
  dnnl_dims_t whole = {s->o, s->c, s->k, s->k};
  dnnl_dims_t parts = {g, s->o / g, s->c / g, s->k, s->k};
  const dnnl_dim_t *w = g > 1 ? parts : whole;
  int n = g > 1 ? 5 : 4;
  long front = is_transposed(s) ? cut_front(s) : s->k / 2;
  long back = is_transposed(s) ? cut_back(s) : s->k / 2;
  p->x = desc(4, x, dnnl_nchw);
  p->y = desc(4, y, dnnl_nchw);
  p->w = desc(n, w, g > 1 ? dnnl_goihw : dnnl_oihw);
  Maps m = {desc(4, x, dnnl_format_tag_any), desc(n, w, dnnl_format_tag_any),
            desc(4, y, dnnl_format_tag_any), {s->stride, s->stride},
            {front, front}, {back, back}};
  return (is_transposed(s) ? transposed : forward)(j, &m);
}

static dnnl_status_t linear(Job *j, const Shape *s, Plain *p) {
  dnnl_dims_t x = {s->h, s->c}, w = {s->o, s->c}, y = {s->h, s->o};
  p->x = desc(2, x, dnnl_ab);
  p->w = desc(2, w, dnnl_ab);
  p->y = desc(2, y, dnnl_ab);
  dnnl_memory_desc_t ax = desc(2, x, dnnl_format_tag_any);
  dnnl_memory_desc_t aw = desc(2, w, dnnl_format_tag_any);
  dnnl_memory_desc_t ay = desc(2, y, dnnl_format_tag_any);
  dnnl_inner_product_desc_t d;
  dnnl_inner_product_forward_desc_init(&d, dnnl_forward_inference, &ax, &aw,
                                       NULL, &ay);
  return dnnl_primitive_desc_create(&j->pd, &d, NULL, j->engine, NULL);
}

static void *prepare(const Shape *s, const float *w, const float *x,
                     const char **why) {
  Job *j = calloc(1, sizeof *j);
  Plain p;
  dnnl_engine_create(&j->engine, dnnl_cpu, 0);
  dnnl_stream_create(&j->stream, j->engine, dnnl_stream_default_flags);
  if ((is_linear(s) ? linear : conv)(j, s, &p) != dnnl_success) {
    *why = "oneDNN has no such primitive";
    free(j);
    return NULL;
  }
  j->x = place(j, dnnl_query_src_md, &p.x, x);
  j->w = place(j, dnnl_query_weights_md, &p.w, w);
  j->y = place(j, dnnl_query_dst_md, &p.y, NULL);
  j->plain_y = p.y;
  dnnl_primitive_create(&j->op, j->pd);
  j->arg[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, j->x};
  j->arg[1] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, j->w};
  j->arg[2] = (dnnl_exec_arg_t){DNNL_ARG_DST, j->y};
  return j;
}

static void run(void *job) {
  Job *j = job;
  dnnl_primitive_execute(j->op, j->stream, 3, j->arg);
  dnnl_stream_wait(j->stream);
}

static void result(void *job, float *y) {
  Job *j = job;
  dnnl_memory_t to;
  dnnl_memory_create(&to, &j->plain_y, j->engine, y);
  move(j, j->y, to);
  dnnl_memory_destroy(to);
}

static void flush(void *job, Flush *line) {
  Job *j = job;
  for (int i = 0; i < 3; i++) {
    const dnnl_memory_desc_t *d;
    void *at;
    dnnl_memory_get_memory_desc(j->arg[i].memory, &d);
    dnnl_memory_get_data_handle(j->arg[i].memory, &at);
    line(at, dnnl_memory_desc_get_size(d));
  }
}

static void release(void *job) {
  Job *j = job;
  dnnl_memory_destroy(j->x);
  dnnl_memory_destroy(j->w);
  dnnl_memory_destroy(j->y);
  dnnl_primitive_destroy(j->op);
  dnnl_primitive_desc_destroy(j->pd);
  dnnl_stream_destroy(j->stream);
  dnnl_engine_destroy(j->engine);
  free(j);
}

const Peer peers[] = {
  {"oneDNN", 0, version, prepare, run, result, flush, release},
  {0},
};
