/* shares.c - a count that is known at run time in even shares, with code for
 * each number that a share may have. */
#include "backend/codegen.h"

void shares_add(Shares *s, int64_t least, int64_t most) {
  for (int64_t n = least; n <= most; n++) {
    int64_t shares = (n + s->size - 1) / s->size;
    if (!shares) continue;
    s->may[n / shares] = true;
    if (n % shares) s->may[n / shares + 1] = true;
    /* From here on it is as it was. */
    if (n > least + s->size * s->size + s->size) break;
  }
}

/* Number `turn`: `each`, and one more of the first ones. */
static void share_emit(Gen *g, const Shares *s, Val turn, Val of, Val each,
                       Val more, SharesBody *body, const void *ctx) {
  Val early = LLVMBuildICmp(g->b, LLVMIntSLT, turn, more, "");
  Val before = LLVMBuildSelect(g->b, early, turn, more, "");
  Val first = add64(g, LLVMBuildNSWMul(g->b, turn, each, ""), before);
  Val size = add64(g, each, LLVMBuildZExt(g->b, early, g->i64, ""));
  for (int n = 1; n <= s->size; n++) {
    If f;
    if (!s->may[n]) continue;
    if_begin(g, &f, LLVMBuildICmp(g->b, LLVMIntEQ, size, k64(g, n), ""));
    Share at = { n, first, turn, of };
    body(g, &at, ctx);
    if_end(g, &f);
  }
}

void shares_emit(Gen *g, const Shares *s, Val count, SharesBody *body,
                 const void *ctx) {
  Loop l;
  Val n = LLVMBuildUDiv(g->b, add64(g, count, k64(g, s->size - 1)),
                        k64(g, s->size), "");
  Val none = LLVMBuildICmp(g->b, LLVMIntEQ, n, k64(g, 0), "");
  Val by = LLVMBuildSelect(g->b, none, k64(g, 1), n, "");
  Val each = LLVMBuildUDiv(g->b, count, by, "");
  Val more = LLVMBuildURem(g->b, count, by, "");
  loop_begin(g, &l, k64(g, 0), n, 1, false, "share");
  share_emit(g, s, l.iv, n, each, more, body, ctx);
  loop_end(g, &l);
}
