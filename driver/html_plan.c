/* html_plan.c - the arena over time: a value is a box from the step that makes
 * it to the last that reads it, as high as its bytes, at its offset. */
#include "driver/html.h"

#include <stdlib.h>
#include <string.h>

enum { WIDE = 960, HIGH = 320, BOXES_MOST = 2000 };

typedef struct Box {
  const Node *n;
  int64_t at, bytes;
  size_t from, to;           /* steps, to included */
} Box;
typedef Vec(Box) Boxes;

static bool is_step(const Node *n) {
  return !(op_info(n->op)->flags & FLAG_LEAF);
}

/* Values of the model's function that lie in the arena; how many steps. */
static Boxes boxes_make(Session *s, size_t *steps) {
  const Func *f = s->module->funcs.at[0];
  Boxes all = {0};
  size_t *box = arena_array(s->arena, size_t, f->nodes.n + 1);  /* from 1 on */
  *steps = 0;
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    ensure(n->id == i);
    for (int k = 0; k < n->nin; k++)
      if (n->in[k] && box[n->in[k]->id])
        all.at[box[n->in[k]->id] - 1].to = *steps;
    if (!is_step(n)) continue;
    if (n->type.at >= 0 && type_bytes(&n->type) > 0) {
      Box b = {n, n->type.at, type_bytes(&n->type), *steps, *steps};
      vec_push(s->arena, &all, b);
      box[i] = all.n;
    }
    ++*steps;
  }
  return all;
}

static int by_bytes(const void *pa, const void *pb) {
  const Box *a = pa, *b = pb;
  return a->bytes != b->bytes ? (a->bytes < b->bytes) - (a->bytes > b->bytes)
                              : (a->from > b->from) - (a->from < b->from);
}

static void box_put(Text *out, const Box *b, double step, double byte) {
  const Node *n = b->n;
  double high = (double)b->bytes * byte;
  text_printf(out, "<rect class=\"v%d\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" "
              "height=\"%.2f\"><title>", (int)(b->from % 4),
              (double)b->from * step, HIGH - (double)b->at * byte - high,
              (double)(b->to - b->from + 1) * step, high < 0.5 ? 0.5 : high);
  text_xml(out, n->path ? n->path : op_info(n->op)->name);
  text_printf(out, ": %lld bytes at %lld, steps %zu to %zu",
              (long long)b->bytes, (long long)b->at, b->from, b->to);
  text_puts(out, "</title></rect>\n");
}

void html_plan(Session *s, Text *out) {
  size_t steps;
  Boxes all = boxes_make(s, &steps);
  int64_t bytes = s->module->dump.arena_bytes;
  if (!all.n || !bytes) {
    text_puts(out, "<p>No value lies in the arena.</p>\n");
    return;
  }
  qsort(all.at, all.n, sizeof *all.at, by_bytes);
  size_t shown = all.n < BOXES_MOST ? all.n : BOXES_MOST;
  text_printf(out, "<p>%lld bytes; %zu steps from left to right, offset 0 at "
              "the bottom. Values that others are part of share their place."
              "</p>\n<svg class=\"plan\" role=\"img\" viewBox=\"0 0 %d %d\" "
              "preserveAspectRatio=\"none\" aria-label=\"Values in the arena "
              "over time\">\n", (long long)bytes, steps, WIDE, HIGH);
  for (size_t i = 0; i < shown; i++)
    box_put(out, &all.at[i], (double)WIDE / (double)steps,
            (double)HIGH / (double)bytes);
  text_puts(out, "</svg>\n");
  if (shown < all.n)
    text_printf(out, "<p>%zu smaller values are not shown.</p>\n",
                all.n - shown);
}
