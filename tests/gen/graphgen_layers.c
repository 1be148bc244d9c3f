/* graphgen_layers.c - layers of the prelude with loops and products of two
 * values in them: recurrent ones, attention. */
#include <math.h>

#include "tests/gen/graphgen.h"

/* lstm or gru of [T,N,C]: y, then the last h (and c). */
bool gen_recurrent(GraphGen *g) {
  int x = gen_pick(g, 3, 3), id = g->nvalues;
  if (g->ints || x < 0 || id + 3 > GEN_MAX_VALUES) return false;
  const GenValue v = g->value[x];
  bool lstm = gen_chance(g, 50), both = gen_chance(g, 35);
  int64_t n = gen_size(g, 12), layers = gen_chance(g, 25) ? 2 : 1;
  int64_t width = n * (1 + both), rows = v.dim[0] * v.dim[1];
  int64_t wide = v.dim[2] > width ? v.dim[2] : width;
  if (v.bound > 100 || rows * width > g->max_elems ||
      8 * layers * rows * width * (wide + n) > g->max_macs)
    return false;
  GenValue y = {.elem = F32, .rank = 3, .bound = 1};
  y.dim[0] = v.dim[0], y.dim[1] = v.dim[1], y.dim[2] = width;
  GenValue h = y, c;
  h.dim[0] = layers * (1 + both), h.dim[2] = n;
  c = h;
  c.bound = (double)v.dim[0] + 1;     /* a step adds 1 at most */
  int made[3] = {gen_result(g, &y), gen_result(g, &h), 0};
  text_printf(&g->body, "  %s, %s", g->value[made[0]].name,
              g->value[made[1]].name);
  if (lstm)
    text_printf(&g->body, ", %s", g->value[gen_result(g, &c)].name);
  text_printf(&g->body, " = %s |> %s(%d, layers=%d%s%s%s) as l%d;\n",
              gen_use(g, x), lstm ? "lstm" : "gru", (int)n, (int)layers,
              both ? ", bidirectional=true"
                   : gen_chance(g, 40) ? ", reverse=true" : "",
              gen_chance(g, 50) ? "" : ", bias=false",
              gen_chance(g, 70) ? "" : ", h0=0.5", id);
  return true;
}

/* Of [N,L,E] with itself. */
bool gen_attention(GraphGen *g) {
  int x = gen_pick(g, 3, 3), id = g->nvalues;
  if (g->ints || x < 0 || id + 1 > GEN_MAX_VALUES) return false;
  const GenValue v = g->value[x];
  int64_t l = v.dim[1], e = v.dim[2], heads = e ? gen_range(g, 1, e) : 1;
  while (e % heads) heads--;
  double reach = sqrt(3.0 * (double)e);
  double bound = reach * (reach * v.bound + 1) + 1;
  if (v.bound > 4 || !gen_fits(g, bound) ||
      heads * v.dim[0] * l * l > g->max_elems ||
      v.dim[0] * l * e * (3 * e + 2 * l) > g->max_macs)
    return false;
  const char *causal = gen_chance(g, 30) ? ", causal=true" : "";
  gen_value(g, 3, v.dim, bound, "%s |> self_attention(%d%s%s) as l%d",
            gen_use(g, x), (int)heads, causal,
            gen_chance(g, 50) ? ", bias=false" : "", id);
  return true;
}
