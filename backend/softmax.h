/* softmax.h - inside backend/: the two passes of a softmax over a row of
 * floats side by side. */
#ifndef TAMIS_SOFTMAX_H
#define TAMIS_SOFTMAX_H

#include "backend/row.h"
#include "backend/vmath.h"

/* Elements at `from`; where `first` is not NULL those from that one on are
 * -infinity, and made so. */
typedef struct SoftRow { Val from; RowSize size; Val first; } SoftRow;
/* The greatest of them and of what each lane of `low` has, in all lanes. */
Val row_max(Gen *g, const SoftRow *r, Val low);
/* e^(x - top) goes to `to`; gives the sum, in all lanes.  padded: vectors are
 * whole, with zeros behind a row whose size is known. */
Val row_exp(Gen *g, const SoftRow *r, Val to, Val top, bool padded);

#endif
