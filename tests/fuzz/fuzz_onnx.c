/* fuzz_onnx.c - libFuzzer entry: ONNX files of hostile bytes, their weights,
 * and the text that comes of them, which has to be a model.  Most mutations
 * keep the file a message and change what it says. */
#include "tests/fuzz/fuzz_weights.h"
#include "frontend/onnx.pb-c.h"

#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most,
                               unsigned seed);

static const DimArg dims[] = {
  {"N", 2, 0}, {"batch", 2, 0}, {"batch_size", 1, 0}, {"x_0", 3, 0}
};
static const LoadOpts opts = {
  .ndims = sizeof dims / sizeof *dims, .dims = dims, .no_weights = true
};

/* A file that is no model, an operator that is not compiled, a dimension
 * that is free. */
static bool code_ok(const Diags *d) {
  int code = diags_exit_code(d);
  return code == EXIT_FILE || code == EXIT_UNSUPPORTED || code == EXIT_USAGE;
}

static void weights_try(Buffer *buf) {
  Arena *a = arena_new();
  Diags *d = diags_new();
  WeightFile *w = onnx_parse(a, d, "fuzz.onnx", buf, &opts);

  ensure((w != NULL) == (diags_errors(d) == 0));
  ensure(w || code_ok(d));
  fuzz_tensors(w);
  weights_close(w);
  diags_free(d);
  arena_free(a);
}

/* Shapes and types were inferred, so that the text has no errors. */
static void text_try(Buffer *buf) {
  const LoadOpts plain = {.no_weights = true};
  Diags *d = diags_new();
  Text text = {0};
  bool ok = onnx_text(d, "fuzz.onnx", buf, &opts, &text);

  ensure(ok == (diags_errors(d) == 0));
  ensure(ok || code_ok(d));
  if (ok) {
    Module *m = tam_load_text(d, "fuzz.onnx", text.s, text.n, &plain);

    ensure(m && diags_errors(d) == 0);
    module_free(m);
  }
  text_free(&text);
  diags_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Buffer buf = {.data = (uint8_t *)(uintptr_t)data, .size = size, .refs = 1};

  weights_try(&buf);
  text_try(&buf);
  ensure(buf.refs == 1);
  return 0;
}

/* ---- mutations of a message ------------------------------------------ */

typedef OnnxFile__Graph Graph;

static const char *const ops[] = {
#define ONNX(domain, name, writer) #name,
#include "frontend/onnx.def"
#undef ONNX
};

static size_t draw(unsigned *seed, size_t n) {
  *seed = *seed * 1664525 + 1013904223;
  return n ? (*seed >> 8) % n : 0;
}

static int64_t number(unsigned *seed, int64_t old) {
  static const int64_t some[] = {
    0, 1, -1, 2, 3, 4, 5, 8, 9, 16, 255, 65536, INT32_MAX, INT32_MIN,
    INT64_MAX, INT64_MIN, (int64_t)1 << 40, -2, -3
  };
  size_t k = draw(seed, 3 * sizeof some / sizeof *some);
  if (k < sizeof some / sizeof *some) return some[k];
  return (int64_t)((uint64_t)old + (k & 1 ? 1 : UINT64_MAX));
}

static void text_set(char **at, const char *s) {
  if (*at != protobuf_c_empty_string) free(*at);
  *at = strdup(s);
}

/* What a node may take: the graph's inputs, tensors, results, nothing. */
static const char *name_draw(const Graph *g, unsigned *seed) {
  size_t k = draw(seed, g->n_input + g->n_initializer + g->n_node + 1);
  const char *s = NULL;
  if (k < g->n_input) return g->input[k]->name ? g->input[k]->name : "";
  k -= g->n_input;
  if (k < g->n_initializer) s = g->initializer[k]->name;
  k -= g->n_initializer;
  if (k < g->n_node && g->node[k]->n_output) s = g->node[k]->output[0];
  return s ? s : "";
}

static void attribute_change(OnnxFile__Attribute *a, unsigned *seed) {
  if (a->n_ints) {
    size_t k = draw(seed, a->n_ints);
    a->ints[k] = number(seed, a->ints[k]);
    if (draw(seed, 8) == 0) a->n_ints = k;
  } else if (a->has_i) {
    a->i = number(seed, a->i);
  } else if (a->has_f) {
    a->f = (float)number(seed, (int64_t)draw(seed, 9)) / 4;
  }
}

static void node_change(const Graph *g, OnnxFile__Node *n, unsigned *seed) {
  switch (draw(seed, 4)) {
  case 0:
    text_set(&n->op_type, ops[draw(seed, sizeof ops / sizeof *ops)]);
    break;
  case 1:
    if (n->n_input)
      text_set(&n->input[draw(seed, n->n_input)], name_draw(g, seed));
    break;
  default:
    if (n->n_attribute)
      attribute_change(n->attribute[draw(seed, n->n_attribute)], seed);
  }
}

static void input_change(OnnxFile__ValueInfo *v, unsigned *seed) {
  OnnxFile__TensorType *t = v->type ? v->type->tensor_type : NULL;
  if (!t) return;
  if (draw(seed, 3) == 0) {
    t->has_elem_type = true;
    t->elem_type = (int32_t)draw(seed, 25);
  } else if (t->shape && t->shape->n_dim) {
    size_t k = draw(seed, t->shape->n_dim);
    OnnxFile__Dim *d = t->shape->dim[k];
    d->has_dim_value = true;
    d->dim_value = draw(seed, 3) ? (int64_t)draw(seed, 12)
                                 : number(seed, d->dim_value);
    if (draw(seed, 8)) return;
    for (size_t i = k; i < t->shape->n_dim; i++)
      onnx_file__dim__free_unpacked(t->shape->dim[i], NULL);
    t->shape->n_dim = k;
  }
}

/* Elements in the fields of numbers, and dimensions. */
static void tensor_change(OnnxFile__Tensor *t, unsigned *seed) {
  size_t k = draw(seed, t->n_int64_data);
  if (t->n_int64_data && draw(seed, 2))
    t->int64_data[k] = number(seed, t->int64_data[k]);
  else if ((k = draw(seed, t->n_dims)) < t->n_dims)
    t->dims[k] = number(seed, t->dims[k]);
  else
    t->data_type = (int32_t)draw(seed, 25);
}

static void graph_change(Graph *g, unsigned *seed) {
  size_t kind = draw(seed, 8);
  if (kind < 5 && g->n_node)
    node_change(g, g->node[draw(seed, g->n_node)], seed);
  else if (kind < 7 && g->n_input)
    input_change(g->input[draw(seed, g->n_input)], seed);
  else if (g->n_initializer)
    tensor_change(g->initializer[draw(seed, g->n_initializer)], seed);
}

/* A graph of a node's attribute, now and then. */
static Graph *graph_draw(Graph *g, unsigned *seed) {
  for (size_t i = 0; i < g->n_node; i++) {
    const OnnxFile__Node *n = g->node[i];
    for (size_t k = 0; k < n->n_attribute; k++)
      if (n->attribute[k]->g && draw(seed, 2))
        return graph_draw(n->attribute[k]->g, seed);
  }
  return g;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most,
                               unsigned seed) {
  OnnxFile__Model *m = NULL;
  size_t n = 0;
  if (draw(&seed, 4)) m = onnx_file__model__unpack(NULL, size, data);
  if (m && m->graph) {
    for (size_t i = draw(&seed, 3) + 1; i > 0; i--)
      graph_change(graph_draw(m->graph, &seed), &seed);
    if (m->n_opset_import && draw(&seed, 16) == 0)
      m->opset_import[0]->version = (int64_t)draw(&seed, 29);
    if (onnx_file__model__get_packed_size(m) <= most)
      n = onnx_file__model__pack(m, data);
  }
  if (m) onnx_file__model__free_unpacked(m, NULL);
  return n ? n : LLVMFuzzerMutate(data, size, most);
}
