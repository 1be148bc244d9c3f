/* header.c - the C and C++ header of an artifact. */
#include <ctype.h>
#include <string.h>

#include "backend/emit.h"

static const char *c_type(Elem e) {
  switch (e) {
    case F64: return "double";
    case F32: return "float";
    case F16: case BF16: case U16: return "uint16_t";
    case I64: return "int64_t";
    case I32: return "int32_t";
    case I16: return "int16_t";
    case I8: case I4: return "int8_t";
    case U8: case U4: case B1: return "uint8_t";
    case U32: return "uint32_t";
    case U64: return "uint64_t";
    default: unreachable();
  }
}

/* Words of C and C++ that a tensor's name may be, and the names of the
 * other arguments. */
static const char *const reserved[] = {
  "alignas", "alignof", "and", "and_eq", "arena", "asm", "auto", "bitand",
  "bitor", "bool", "break", "case", "catch", "char", "class", "compl",
  "concept", "const", "const_cast", "consteval", "constexpr", "constinit",
  "continue", "decltype", "default", "delete", "dims", "do", "double",
  "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false",
  "float", "for", "friend", "goto", "if", "import", "inline", "int", "long",
  "module", "mutable", "namespace", "new", "noexcept", "not", "not_eq",
  "nullptr", "operator", "or", "or_eq", "pool", "private", "protected",
  "public", "register", "reinterpret_cast", "requires", "restrict",
  "return", "short", "signed", "sizeof", "state", "static",
  "static_assert", "static_cast",
  "struct", "switch", "template", "this", "thread_local", "throw", "true",
  "try", "typedef", "typeid", "typename", "typeof", "typeof_unqual", "union",
  "unsigned", "using", "virtual", "void", "volatile", "weights", "while",
  "xor", "xor_eq",
  /* macros of compilers and of common headers */
  "errno", "linux", "stderr", "stdin", "stdout", "unix"
};

/* Names that the language, its library or a macro may have taken. */
static bool is_reserved(const char *s) {
  size_t n = strlen(s), lower = 0;
  for (size_t i = 0; i < n; i++) lower += islower((unsigned char)s[i]) != 0;
  if (!lower && (n > 1 || *s == 'I')) return true;     /* NULL, NET_ALIGN */
  if (n > 2 && strcmp(s + n - 2, "_t") == 0) return true;
  if (strncmp(s, "co_", 3) == 0) return true;          /* co_await */
  for (size_t k = 0; k < sizeof reserved / sizeof *reserved; k++)
    if (strcmp(reserved[k], s) == 0) return true;
  return false;
}

/* The i-th argument's name, a word of C that no other argument has. */
static const char *arg_name(Emission *e, const char *name, const char **all,
                            int i) {
  Arena *a = e->g.a;
  bool letter = isalpha((unsigned char)name[0]);
  char *s = arena_printf(a, "%s%s", letter ? "" : "x", name);
  for (char *p = s; *p; p++)
    if (!isalnum((unsigned char)*p)) *p = '_';
  if (is_reserved(s)) s = arena_printf(a, "%s_", s);
  const char *v = s;
  for (int n = 2, k = 0; k < i; k++)
    if (strcmp(all[k], v) == 0) v = arena_printf(a, "%s_%d", s, n++), k = -1;
  return v;
}

static void shape_print(Text *t, const Type *type) {
  Type plain = type_make(type->elem, type->rank, type->dim);
  plain.free = type->free;
  text_puts(t, "/* ");
  type_print(t, &plain);
  text_puts(t, " */");
}

static void prototype_print(Emission *e, Text *t, const Func *f) {
  size_t n = f->inputs.n + f->outputs.n;
  const char **name = arena_array(e->g.a, const char *, n + 1);
  text_printf(t, "int %s_%s(", e->prefix, entry_name(e, f));
  for (size_t i = 0; i < n; i++) {
    bool in = i < f->inputs.n;
    size_t k = i - f->inputs.n;
    const Type *type = in ? &f->inputs.at[i]->type
                          : &f->outputs.at[k].node->type;
    name[i] = arg_name(e, in ? f->inputs.at[i]->name : f->outputs.at[k].name,
                       name, (int)i);
    text_printf(t, "%s%s%s *%s ", i ? ",\n    " : "\n    ",
                in ? "const " : "", c_type(type->elem), name[i]);
    shape_print(t, type);
  }
  text_printf(t, "%s%s%s%s%svoid *arena);\n", n ? ",\n    " : "",
              e->g.mod->free ? "const int64_t dims[], " : "",
              e->g.weights_slot ? "const void *weights, " : "",
              e->g.mod->states.n ? "void *state, " : "",
              e->g.pool_slot ? "const tamis_pool *pool, " : "");
}

/* What is aligned besides the arena. */
static const char *others_text(const Emission *e) {
  bool states = e->g.mod->states.n > 0;
  if (e->g.weights_slot)
    return states ? " (or weights, or state)" : " (or weights)";
  return states ? " (or state)" : "";
}

static void entries_print(Emission *e, Text *t) {
  const Module *m = e->g.mod;
  for (size_t i = 1; i < m->funcs.n; i++)
    if (func_is_entry(m, m->funcs.at[i]))
      prototype_print(e, t, m->funcs.at[i]);
}

static void bounds_print(Emission *e, Text *t, const char *up) {
  const FreeDims *f = e->g.mod->free;
  for (int i = 0; f && i < f->n; i++)
    text_printf(t, "#define %s_%s_LEAST %lld\n#define %s_%s_MOST %lld\n", up,
                f->dim[i].name, (long long)f->dim[i].least, up,
                f->dim[i].name, (long long)f->dim[i].most);
}

/* What dims holds. */
static void dims_print(Emission *e, Text *t) {
  const FreeDims *f = e->g.mod->free;
  if (!f) return;
  text_puts(t, "/* dims: ");
  for (int i = 0; i < f->n; i++)
    text_printf(t, "%s%s, %lld to %lld", i ? "; " : "", f->dim[i].name,
                (long long)f->dim[i].least, (long long)f->dim[i].most);
  text_puts(t, ".  Buffers are row-major at these sizes;\n * -3: one is out "
               "of its range. */\n");
}

/* As in tamis.h: each may be included first. */
static void pool_print(Text *t) {
  text_puts(t, "/* Threads of the caller: run() calls task(arg, i) once for "
               "each i below n, on\n * any threads, and returns when all "
               "have; NULL in place of a pool: none. */\n"
               "#ifndef TAMIS_POOL\n#define TAMIS_POOL\n"
               "typedef struct tamis_pool {\n  void (*run)(void *ctx, "
               "void (*task)(void *arg, size_t i), void *arg, size_t n);\n"
               "  void *ctx;\n} tamis_pool;\n#endif\n\n");
}

void header_print(Emission *e, Text *t) {
  const char *p = e->prefix;
  char *up = arena_strdup(e->g.a, p);
  for (char *c = up; *c; c++) *c = (char)toupper((unsigned char)*c);
  const Target *target = e->g.t;
  text_printf(t, "/* Written by tamis %s for %s, %s%s%s. */\n", TAMIS_VERSION,
              target->triple, target->cpu,
              target->features && *target->features ? " " : "",
              target->features ? target->features : "");
  text_printf(t, "#ifndef TAMIS_H_%s\n#define TAMIS_H_%s\n\n", p, p);
  text_puts(t, e->g.pool_slot ? "#include <stddef.h>\n#include <stdint.h>\n"
                              : "#include <stdint.h>\n");
  text_puts(t, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
  text_printf(t, "#define %s_ARENA_BYTES %lluu\n", up,
              (unsigned long long)e->info->arena_bytes);
  text_printf(t, "#define %s_STACK_BYTES %lluu\n", up,
              (unsigned long long)e->info->stack_bytes);
  text_printf(t, "#define %s_ALIGN %du\n", up, ARENA_ALIGN);
  if (e->g.weights_slot)
    text_printf(t, "#define %s_WEIGHT_BYTES %lluu\n", up,
                (unsigned long long)e->info->weight_bytes);
  if (e->g.mod->states.n)
    text_printf(t, "#define %s_STATE_BYTES %lluu\n", up,
                (unsigned long long)e->g.state_bytes);
  bounds_print(e, t, up);
  text_printf(t, "\n/* Describes the model: see tamis.h. */\n"
                 "extern const struct tamis_model %s_model;\n\n", p);
  if (e->g.pool_slot) pool_print(t);
  text_printf(t, "/* Returns 0, or a negative error: -1 a pointer is NULL, "
                 "-2 the arena%s\n * is not aligned to %s_ALIGN, -4 this CPU "
                 "lacks a feature.  Buffers must not\n * overlap.  arena: "
                 "%s_ARENA_BYTES of scratch, its contents do not matter. */\n",
              others_text(e), up, up);
  dims_print(e, t);
  prototype_print(e, t, e->g.func);
  entries_print(e, t);
  if (e->g.mod->states.n)
    text_printf(t, "\n/* Before the first call, and to begin anew.  state: "
                   "%s_STATE_BYTES aligned to\n * %s_ALIGN, kept from call "
                   "to call. */\nvoid %s_reset(void *state);\n", up, up, p);
  text_puts(t, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}
