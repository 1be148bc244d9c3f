/* onnx_matmul.h - products, for the writers of operators that have them. */
#ifndef TAMIS_ONNX_MATMUL_H
#define TAMIS_ONNX_MATMUL_H

#include "frontend/onnx.h"

/* [...,M,K] times [...,K,N], of floats or of integers, each read transposed
 * on request. */
Node *ox_matmul(Ox *o, Node *a, Node *b, bool ta, bool tb);
/* x [...,K] times w [N,K] transposed, and bias [N] or NULL. */
Node *ox_linear(Ox *o, Node *x, Node *w, Node *bias);
/* a b + c of matrices, by the node's transA and transB; c: NULL where there is
 * none, else it broadcasts to the product. */
Node *ox_gemm(Ox *o, Node *a, Node *b, Node *c);
/* Whether a node's values are in the file, or were folded. */
bool ox_is_stored(const Node *n);

#endif
