/* names.h - inside ir/ and for what else prints programs: names of values, the
 * printer's parts, and the part of the verifier that looks at the arena. */
#ifndef TAMIS_NAMES_H
#define TAMIS_NAMES_H

#include "ir/ir.h"

/* The names of one function's values: what its author gave where that is a
 * name and free, made different by _2, _3... where not.  Naming what was
 * parsed back gives the same names. */
typedef struct Names Names;
Names *names_new(const Module *m, const Func *f);
void names_free(Names *s);
const char *names_of(const Names *s, const Node *n);
/* A name that nothing has, from `wish`. */
const char *names_fresh(Names *s, const char *wish);
/* Whether output i is bound by the statement of its node. */
bool names_binds_output(const Names *s, const Func *f, size_t i);
/* A layer or param path: names with at most an index each, dots between. */
bool path_is_valid(const char *s);

/* print.c, its parts.  How a printer writes operand i of n. */
typedef void RefPrinter(Text *out, void *ctx, const Node *n, int i);
/* conv2d(x, w, stride=[2,2]) */
void op_call_print(Text *out, const Node *n, RefPrinter *ref, void *ctx);
/* 0.5, i32(3): what stands for a CONST */
void literal_print(Text *out, const Node *n);
/* y: f32[1,8] = */
void binding_print(Text *out, const char *name, const Type *t);
/* net(x: f32[1,8]) -> y: f32[1,8] { */
void signature_print(Text *out, const Module *m, const Func *f);
/*  from "net.onnx" "/conv/Conv" */
void places_print(Text *out, const Node *n);
void state_print(Text *out, const State *s);
/* Statements for the outputs that none before them binds. */
void aliases_print(Text *out, Names *names, const Func *f);

/* verify_arena.c: whether no value is overwritten before its last use (ids
 * set); else text in why. */
bool arena_verify(const Func *f, Text *why);
/* Does a node of kernel alias lie where its operands lie? */
bool alias_lies(const Node *n);

#endif
