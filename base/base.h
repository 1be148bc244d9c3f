/* base.h - what every part of Tamis stands on: memory, text, source
 * positions, diagnostics, tensor buffers and files.  Includes nothing of
 * ours.  Out of memory ends the program (exit 70). */
#ifndef TAMIS_BASE_H
#define TAMIS_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN __attribute__((noreturn))
#else
#define PRINTF_LIKE(f, a)
#define NORETURN
#endif

/* ---- check.c: our own errors ---------------------------------------- */

/* Exit codes of the command (doc/man/tamis.1). */
enum {
  EXIT_OK = 0, EXIT_MODEL = 1, EXIT_USAGE = 2, EXIT_FILE = 3,
  EXIT_UNSUPPORTED = 4, EXIT_MISMATCH = 5, EXIT_INTERNAL = 70
};

/* Print "internal error: ..." with the place and exit with 70. */
NORETURN void internal_error(const char *file, int line, const char *fmt,
                             ...) PRINTF_LIKE(3, 4);
#define ensure(c) \
  ((c) ? (void)0 : internal_error(__FILE__, __LINE__, "%s", #c))
#define unreachable() internal_error(__FILE__, __LINE__, "unreachable")

/* ---- arena.c -------------------------------------------------------- */

/* Memory that is freed all at once; every allocation is zeroed and aligned
 * to 16.  With TAMIS_ASAN each object is its own malloc. */
typedef struct Arena Arena;
Arena *arena_new(void);
void arena_free(Arena *a);
void *arena_alloc(Arena *a, size_t size);
/* Grow an array of `n` elements that lives in the arena to hold at least
 * n+1; *cap is updated.  The old memory is kept until arena_free. */
void *arena_grow(Arena *a, void *p, size_t n, size_t *cap, size_t elem);
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define arena_new_of(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define arena_array(a, T, n) \
  ((T *)arena_alloc((a), checked_mul((n), sizeof(T))))
/* a*b; internal_error on overflow. */
size_t checked_mul(size_t a, size_t b);
/* The greatest divisor that both have; of 0 and b it is b. */
static inline int64_t gcd(int64_t a, int64_t b) {
  while (b) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/* A vector in an arena: `Vec(int) v = {0}; vec_push(arena, &v, 3);`. */
#define Vec(T) struct { T *at; size_t n, cap; }
#define vec_push(a, v, x)                                             \
  ((v)->n < (v)->cap                                                  \
     ? (void)0                                                        \
     : (void)((v)->at = arena_grow((a), (v)->at, (v)->n, &(v)->cap,   \
                                   sizeof *(v)->at)),                 \
   (v)->at[(v)->n++] = (x))

/* ---- text.c --------------------------------------------------------- */

/* A growing string on the heap; always NUL-terminated once written to. */
typedef struct { char *s; size_t n, cap; } Text;
void text_putc(Text *t, char c);
void text_puts(Text *t, const char *s);
void text_write(Text *t, const void *p, size_t n);
void text_printf(Text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_vprintf(Text *t, const char *fmt, va_list ap);
void text_free(Text *t);
/* Shortest decimal that reads back as the same double (digits on both sides
 * of the dot; inf, nan, -0.0); with `f32`, as the same float. */
void text_float(Text *t, double v, bool f32);
/* Append as a string literal of the language / of JSON, with quotes. */
void text_quote(Text *t, const char *s);
void text_json(Text *t, const char *s);
/* Append as text or an attribute's value of XML and HTML. */
void text_xml(Text *t, const char *s);
/* The nearest of n names to `s` by edit distance, or NULL when none is
 * close enough to suggest. */
const char *nearest_name(const char *s, const char *const *names, size_t n);
uint64_t hash_bytes(const void *p, size_t n);  /* FNV-1a, 64 bits */
/* Of n and of bytes at both ends and in the middle. */
uint64_t hash_sample(const void *p, size_t n);
uint64_t hash_mix(uint64_t z);                 /* splitmix64 finaliser */

/* ---- map.c: strings to pointers, insertion order not kept ----------- */

/* Keys are kept, not copied; a NULL value stands for none. */
typedef struct Map {
  size_t n, cap;
  const char **key;
  void **val;
} Map;
void *map_get(const Map *m, const char *key);          /* or NULL */
void map_put(Arena *a, Map *m, const char *key, void *val);
/* The nearest key with a value, or NULL. */
const char *map_nearest(Arena *a, const Map *m, const char *key);

/* ---- source.c ------------------------------------------------------- */

/* One text that was read; positions in it are byte offsets. */
typedef struct Source {
  const char *name;     /* as the user gave it */
  const char *text;     /* NUL-terminated */
  size_t len;
  bool foreign;         /* made of a file of another format: what is wrong
                           with the model is wrong with that file */
  const struct Map *dims;  /* names of that file's dimensions: SOURCE_INPUT
                              where inputs have it; NULL: it has none */
} Source;
enum { SOURCE_OTHER = 1, SOURCE_INPUT };
/* A range of a source; src NULL: no place known. */
typedef struct Span { const Source *src; uint32_t begin, end; } Span;
/* 1-based line and column (in bytes) of an offset. */
void source_line_col(const Source *s, uint32_t off, int *line, int *col);
/* Where its lines start, for many places of one text. */
typedef struct SourceLines {
  const Source *src;
  Vec(uint32_t) start;
} SourceLines;
SourceLines *lines_new(Arena *a, const Source *s);
void lines_find(const SourceLines *l, uint32_t off, int *line, int *col);

/* ---- diag.c --------------------------------------------------------- */

typedef enum { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE } DiagLevel;

/* Collects what is wrong with the user's input.  Every error has a class,
 * an exit code above; the first error's class becomes the exit code. */
typedef struct Diags Diags;
Diags *diags_new(void);
void diags_free(Diags *d);
/* Errors so far; after `limit` (100) further ones are only counted. */
size_t diags_errors(const Diags *d);
bool diags_full(const Diags *d);       /* further errors are only counted */
int diags_exit_code(const Diags *d);  /* EXIT_OK when there is no error */
/* Add an error and return false, so that `return diag_error(...)` works.
 * A note belongs to the diagnostic before it. */
bool diag_error(Diags *d, int exit_class, Span at, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* An error about a binary file or an option: `where` is printed in place of
 * file:line:col, e.g. "w.safetensors: byte 812". */
bool diag_error_at(Diags *d, int exit_class, const char *where,
                   const char *fmt, ...) PRINTF_LIKE(4, 5);
void diag_warning(Diags *d, Span at, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_note(Diags *d, Span at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Underline one more range of the same source in the latest diagnostic. */
void diag_also(Diags *d, Span at);
/* Memory that lives as long as the diagnostics: texts that spans point to
 * belong here. */
Arena *diags_arena(Diags *d);
/* The message of the latest error, "" when there is none. */
const char *diags_last(const Diags *d);
/* Print all, in order, as text with source line and carets or one JSON
 * object a line ({"level","file","line","column","message","notes"}). */
void diags_print(const Diags *d, FILE *to, bool json);

/* ---- buffer.c ------------------------------------------------------- */

/* Reference-counted bytes outside the arenas: tensor data.  Data is
 * 64-byte aligned when allocated, as in the file when mapped.  Never
 * written once shared. */
typedef struct Buffer {
  uint8_t *data;
  size_t size;
  int refs;
  struct Buffer *parent;  /* a slice keeps its parent alive */
  bool mapped;
} Buffer;
Buffer *buffer_new(size_t size);  /* zeroed */
Buffer *buffer_slice(Buffer *parent, size_t offset, size_t size);
Buffer *buffer_ref(Buffer *b);    /* NULL stays NULL */
void buffer_unref(Buffer *b);
/* Of a mapped file: let the pages go until someone reads them again. */
void buffer_forget(const Buffer *b);
/* Map a file read-only; NULL and a diagnostic (EXIT_FILE) when it can't.
 * An empty file gives size 0. */
Buffer *buffer_map(Diags *d, const char *path);

/* ---- file.c --------------------------------------------------------- */

/* Read a text file (or "-", standard input) as a Source in the arena.  NUL
 * bytes are an error that names the offset.  NULL on error. */
Source *source_read(Arena *a, Diags *d, const char *path);
/* An output that appears whole or not at all: written to a temporary name
 * beside `path`, renamed by outfile_commit.  "-" is standard output. */
typedef struct OutFile { FILE *f; char *path, *tmp; } OutFile;
bool outfile_open(OutFile *o, Diags *d, const char *path);
/* The same of a file that is there complete as `tmp`. */
bool outfile_made(OutFile *o, Diags *d, const char *path, const char *tmp);
bool outfile_commit(OutFile *o, Diags *d);  /* close and rename */
/* Several, {0} for none: all are complete before the first gets its name. */
bool outfiles_commit(OutFile *o, size_t n, Diags *d);
void outfile_abort(OutFile *o);             /* close and remove */
bool file_write(Diags *d, const char *path, const void *p, size_t n);
/* "-", and what exists and is no regular file: outfile_open writes it in
 * place. */
bool path_in_place(const char *path);
/* Do two paths lead to one file that exists? */
bool path_same(const char *p, const char *q);
/* Directory part of a path ("." if none) and path joined to it (absolute
 * paths stay). */
char *path_dir(Arena *a, const char *path);
char *path_join(Arena *a, const char *dir, const char *rel);
const char *path_base(const char *path);
/* `path` with its extension (".tam") replaced by `ext`. */
char *path_with_ext(Arena *a, const char *path, const char *ext);

/* ---- temporary.c ---------------------------------------------------- */

/* A file or folder that goes when a signal or an internal error ends the
 * process; a folder is named before what lies in it. */
void temporary_add(const char *path);
void temporary_forget(const char *path);   /* it stays, or is gone */
void temporary_remove(const char *path);   /* now */
void temporaries_remove(void);             /* all, as a handler may */

#endif
