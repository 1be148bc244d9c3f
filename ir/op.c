/* op.c - the op table of ops.def, its operand and attribute columns parsed
 * once, at the first use. */
#include "ir/ir.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A row as it stands in ops.def. */
typedef struct Row {
  const char *name, *operands, *attrs, *elems;
  uint32_t flags;
} Row;

/* Flags of ops.def without their prefix. */
enum {
  UNARY = FLAG_UNARY, BINARY = FLAG_BINARY, COMM = FLAG_COMM,
  VIEW = FLAG_VIEW, REDUCE = FLAG_REDUCE, LEAF = FLAG_LEAF
};

static const Row rows[OP_COUNT] = {
#define OP(e, name, operands, attrs, elems, infer, eval, flags) \
  {name, operands, attrs, #elems, flags},
#include "ir/ops.def"
#undef OP
};

static const struct { const char *name; Elem elem; } elem_enums[] = {
#define ELEM(e, name, bits) {#e, e},
#include "ir/types.def"
#undef ELEM
};

static OpInfo infos[OP_COUNT];
static const char *names[OP_COUNT];
static bool parsed;

/* Words and lists of the table live as long as the program. */
static char words[8192];
static size_t words_used;
static int64_t ints[512];
static size_t ints_used;

static const char *word_save(const char *s, size_t n) {
  ensure(words_used + n + 1 <= sizeof words);
  char *p = words + words_used;
  memcpy(p, s, n);
  p[n] = 0;
  words_used += n + 1;
  return p;
}

static size_t ident_len(const char *s) {
  size_t n = 0;
  while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
  return n;
}

static void operands_parse(OpInfo *info, const char *s) {
  while (*s) {
    size_t n = ident_len(s);
    ensure(n > 0 && info->noperands < MAX_OPERANDS && !info->variadic);
    info->operand_class[info->noperands] = 'T';
    info->operand[info->noperands] = word_save(s, n);
    s += n;
    if (*s == ':') {
      info->operand_class[info->noperands] = s[1];
      s += 2;
    }
    info->noperands++;
    if (*s == '?') {
      s++;
    } else {
      ensure(info->nrequired == info->noperands - 1);
      info->nrequired++;
    }
    if (*s == '*') {
      info->variadic = true;
      s++;
    }
    while (*s == ' ') s++;
  }
}

static const char *ints_parse(Attr *a, const char *s) {
  ensure(*s == '[');
  s++;
  a->ints = ints + ints_used;
  while (*s != ']') {
    char *end;
    ensure(ints_used < sizeof ints / sizeof *ints);
    ints[ints_used++] = strtoll(s, &end, 10);
    ensure(end != s);
    a->n++;
    s = *end == ',' ? end + 1 : end;
  }
  return s + 1;
}

/* The default behind `=`; returns what follows it. */
static const char *default_parse(Attr *a, const char *s) {
  char *end = NULL;
  a->set = true;
  switch (a->kind) {
  case ATTR_INT:
    a->i = strtoll(s, &end, 10);
    return end;
  case ATTR_FLOAT:
    a->f = strtod(s, &end);
    return end;
  case ATTR_BOOL:
    a->i = strncmp(s, "true", 4) == 0;
    return s + (a->i ? 4 : 5);
  case ATTR_ELEM:
    break;   /* the table has no default of this kind */
  case ATTR_INTS:
    return ints_parse(a, s);
  case ATTR_STR: {
    ensure(*s == '"');
    size_t n = strcspn(s + 1, "\"");
    a->s = word_save(s + 1, n);
    return s + n + 2;
  }
  }
  unreachable();
}

static AttrKind kind_parse(char c) {
  switch (c) {
  case 'i': return ATTR_INT;
  case 'I': return ATTR_INTS;
  case 'f': return ATTR_FLOAT;
  case 's': return ATTR_STR;
  case 'b': return ATTR_BOOL;
  case 'e': return ATTR_ELEM;
  }
  unreachable();
}

static void attrs_parse(OpInfo *info, const char *s) {
  while (*s) {
    size_t n = ident_len(s);
    ensure(n > 0 && s[n] == ':' && info->nattrs < MAX_ATTRS);
    Attr *a = &info->def[info->nattrs];
    info->attr[info->nattrs++] = word_save(s, n);
    a->kind = kind_parse(s[n + 1]);
    s += n + 2;
    if (*s == '=') s = default_parse(a, s + 1);
    ensure(*s == ' ' || *s == 0);
    while (*s == ' ') s++;
  }
}

enum {
  NUM_MASK = 1u << F32 | 1u << I64 | 1u << I32,
  ANY_MASK = ((1u << ELEM_COUNT) - 1) & ~(1u << I4 | 1u << U4)
};

static uint32_t elem_mask(const char *s, size_t n) {
  if (n == 3 && strncmp(s, "NUM", n) == 0) return NUM_MASK;
  if (n == 3 && strncmp(s, "ANY", n) == 0) return ANY_MASK;
  for (size_t k = 0; k < ELEM_COUNT; k++)
    if (strncmp(elem_enums[k].name, s, n) == 0 && !elem_enums[k].name[n])
      return 1u << elem_enums[k].elem;
  unreachable();
}

/* "NUM | U8": names, so that the column stays readable. */
static uint32_t elems_parse(const char *s) {
  uint32_t mask = 0;
  while (*s) {
    size_t n = ident_len(s);
    ensure(n > 0);
    mask |= elem_mask(s, n);
    s += n;
    while (*s == ' ' || *s == '|') s++;
  }
  return mask;
}

static void table_parse(void) {
  parsed = true;
  for (int i = 0; i < OP_COUNT; i++) {
    OpInfo *info = &infos[i];
    info->name = names[i] = rows[i].name;
    info->flags = rows[i].flags;
    info->elems = elems_parse(rows[i].elems);
    operands_parse(info, rows[i].operands);
    attrs_parse(info, rows[i].attrs);
  }
}

const OpInfo *op_info(Op op) {
  if (!parsed) table_parse();
  ensure((unsigned)op < OP_COUNT);
  return &infos[op];
}

bool op_parse(const char *name, Op *out) {
  for (int i = 0; i < OP_COUNT; i++) {
    if (strcmp(rows[i].name, name) == 0) {
      *out = (Op)i;
      return true;
    }
  }
  return false;
}

const char *const *op_names(size_t *n) {
  if (!parsed) table_parse();
  *n = OP_COUNT;
  return names;
}

char op_class(const OpInfo *info, int i) {
  int last = info->noperands - 1;
  return info->operand_class[i < last ? i : last];
}

uint32_t op_elems(const OpInfo *info, int i) {
  switch (op_class(info, i)) {
  case 'T': return info->elems;
  case 'i': return 1u << I32 | 1u << I64;
  case 'k': return 1u << I32;
  case 'b': return 1u << B1;
  case 'm': return 1u << F32 | 1u << B1;
  case 'x': return ANY_MASK;
  case 'w': return 1u << U8;
  default: unreachable();
  }
}
