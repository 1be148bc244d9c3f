/* frontend.h - from files to modules: the language (lexer, parser,
 * elaborator, prelude) and weight files.  doc/language.md is the manual. */
#ifndef TAMIS_FRONTEND_H
#define TAMIS_FRONTEND_H

#include "ir/ir.h"

/* ---- weights.c, safetensors.c, npy.c, npz.c ------------------------- */

/* One tensor of a file: row-major values of elem. */
typedef struct WeightTensor {
  const char *name;
  Type type;
  Buffer *data;        /* one reference, owned by the WeightFile */
} WeightTensor;
typedef struct WeightFile {
  const char *path;
  Vec(WeightTensor) tensors;   /* in the order of the file */
} WeightFile;

/* Read a safetensors, npz or npy file, told apart by content.  Safetensors
 * are mapped, not copied.  An npy has one tensor named "".  NULL and a
 * diagnostic (EXIT_FILE, naming file and byte or member) when it is not
 * well formed.  Fortran order is refused with a message. */
WeightFile *weights_read(Arena *a, Diags *d, const char *path);
void weights_close(WeightFile *w);
const WeightTensor *weights_find(const WeightFile *w, const char *name);
/* The same readers on bytes in memory, for the fuzzers; `buf` is shared. */
WeightFile *safetensors_parse(Arena *a, Diags *d, const char *path,
                              Buffer *buf);
WeightFile *npz_parse(Arena *a, Diags *d, const char *path, Buffer *buf);
WeightFile *npy_parse(Arena *a, Diags *d, const char *path, Buffer *buf);
/* A TensorFlow Lite file (tflite.c): the model as a text of the language,
 * appended to `out`, or as a Source; and the weights that the text mentions.
 * What is not supported is EXIT_UNSUPPORTED. */
bool tflite_text(Diags *d, const char *path, Buffer *buf, Text *out);
Source *tflite_source(Arena *a, Diags *d, const char *path);
WeightFile *tflite_parse(Arena *a, Diags *d, const char *path, Buffer *buf);
bool path_is_tflite(const char *path);   /* by its end */
/* The same of an ONNX file (onnx.c); dims and consts of `o` count, which must
 * be the same for both. */
struct LoadOpts;
bool onnx_text(Diags *d, const char *path, Buffer *buf,
               const struct LoadOpts *o, Text *out);
Source *onnx_source(Arena *a, Diags *d, const char *path,
                    const struct LoadOpts *o);
WeightFile *onnx_parse(Arena *a, Diags *d, const char *path, Buffer *buf,
                       const struct LoadOpts *o);
bool path_is_onnx(const char *path);
/* onnx_write.c: the module as an ONNX file, opset 18, that other programs run;
 * layouts and kernels are not in it, states are inputs and outputs.  An op
 * that ONNX cannot express is EXIT_UNSUPPORTED. */
bool onnx_write(Diags *d, const char *path, Module *m);
/* Written whole or not at all; header padded so that data begin at a
 * multiple of 64; tensors in the given order. */
bool safetensors_write(Diags *d, const char *path, const WeightTensor *t,
                       size_t n);
bool npy_write(Diags *d, const char *path, const Type *t, const void *data);
/* The same into an open file; committing it tells whether that went well. */
void safetensors_put(FILE *f, const WeightTensor *t, size_t n);
void npy_put(FILE *f, const Type *t, const void *data);
/* f16, bf16, f64, integers to f32, row-major; a new buffer, or the same one
 * referenced again when it is f32 already and aligned. */
Buffer *weights_to_f32(const WeightTensor *t);
/* As another float type, rounded to nearest. */
Buffer *weights_round(const WeightTensor *t, Elem e);

/* ---- image.c -------------------------------------------------------- */

/* Options of `--in x=FILE,resize=HxW,mean=a:b:c,scale=s,order=rgb`. */
typedef struct ImageOpts {
  int height, width;    /* 0: the input's own shape decides */
  int nmean;
  double mean[4];       /* subtracted from 0..1 values */
  int nscale;
  double scale[4];      /* divided by afterwards */
  bool bgr;
} ImageOpts;
/* Read a PNG or JPEG into f32 [1,C,H,W] in 0..1 (bilinear resize), C 1
 * (grey) or 3 as `t` says.  NULL and a diagnostic on error. */
float *image_read(Arena *a, Diags *d, const char *path, const Type *t,
                  const ImageOpts *o);

/* ---- samples.c ------------------------------------------------------ */

/* Samples for the inputs of a model, one call's at a time.  In an npz an
 * array for each input, by its name; in an npy, IDX (gzipped or not) or npz
 * of one array, that array for the only input: the first axis counts the
 * samples, the others are those of the input behind its batch (or, if there
 * is one more, the whole input).  Bytes of IDX are 0..1 with `image`'s mean
 * and scale, and axes of 1 do not count there.  Of a folder its .png and .jpg
 * files by name.  What does not fill a batch is left out. */
typedef struct SampleInput { const char *name; Type type; } SampleInput;
typedef struct SampleOpts {
  int64_t most;        /* samples at most; 0: all */
  ImageOpts image;
} SampleOpts;
typedef struct SampleFiles SampleFiles;
typedef struct Samples {
  int64_t calls, each;   /* samples in each of them */
  size_t n;
  Type *type;          /* of each input in a call; no dimension is free */
  SampleFiles *files;
} Samples;
/* NULL and diagnostics (EXIT_FILE, expected and found) when something does
 * not fit; `path` is a file or a folder. */
Samples *samples_open(Arena *a, Diags *d, const char *path,
                      const SampleInput *in, size_t n, const SampleOpts *o);
/* Fill the buffers of all inputs for the next of s->calls calls. */
bool samples_next(Samples *s, Diags *d, void *const *to);
void samples_close(Samples *s);

/* ---- parse.y, elaborate.c ------------------------------------------- */

/* A size; with least > 0 the dimension stays free, from that to value. */
typedef struct DimArg { const char *name; int64_t value, least; } DimArg;
/* An input that is the one tensor of a file. */
typedef struct ConstArg { const char *name, *file; } ConstArg;

typedef struct LoadOpts {
  size_t ndims;
  const DimArg *dims;         /* --dim */
  bool keep_dims;             /* a range of one size leaves it free, too */
  size_t nconsts;
  const ConstArg *consts;     /* --const, of an ONNX file */
  const char *model;          /* NULL: the only one */
  const char *recipe;         /* NULL: none */
  bool prune_all;             /* a step `prune **` without arguments */
  const char *weights;        /* --weights: in place of the file's own */
  bool random_weights;
  uint64_t seed;
  /* In place of files: a param's values by path (the round trip gives the
   * module's own).  Fills data, or values and index. */
  bool (*provide)(void *ctx, Param *p);
  void *provide_ctx;
  bool no_weights;            /* leave params without data */
  /* Files read, for dependency files; may be NULL. */
  void (*on_file)(void *ctx, const char *path);
  void *on_file_ctx;
  /* In: the file's text as another load left it here, or NULL; out: the text
   * (standard input can be read but once).  It lives as long as the Diags.
   * Warnings were given by that load. */
  const Source **source;
  bool again;
  bool sample;                /* dimensions count, encodings are left out */
} LoadOpts;

/* Parse and elaborate a .tam text into a module with weights and verified
 * types; a dump becomes a module with dump.after set.  NULL when d has
 * errors.  `path` is the file's name, for imports, weights and messages. */
Module *tam_load(Diags *d, const char *path, const LoadOpts *o);
Module *tam_load_text(Diags *d, const char *path, const char *text,
                      size_t len, const LoadOpts *o);
/* Names of the models of a file, for messages. */

/* fold_blocks.c: the module as module_print says it, but with what comes again
 * in blocks.  A block's params lie in its layers: key[] (one a param, NULL at
 * first) is what each is called in the text.  For a module of one function
 * and no pass. */
void module_print_blocks(Text *out, Module *m, const char *weights,
                         const char **key);

/* The prelude's text, built in. */
extern const char prelude_tam[];
extern const size_t prelude_tam_len;

#endif
