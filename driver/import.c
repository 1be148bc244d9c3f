/* import.c - `tamis import`: a model of another format as a program of the
 * language, with its weights beside it. */
#include "driver/driver.h"

#include <string.h>

static bool paths_ok(const Options *o, Diags *d, Arena *a, const char *out) {
  if (!path_is_tflite(o->file) && !path_is_onnx(o->file))
    return diag_error_at(d, EXIT_USAGE, "import",
                         "expected an .onnx or .tflite file, found '%s'",
                         o->file);
  if (!dump_has_weights(out)) return true;
  const char *weights = path_with_ext(a, out, ".safetensors");
  if (path_same(out, o->file) || path_same(weights, o->file))
    return diag_error_at(d, EXIT_USAGE, "-o",
                         "'%s' would be written over what is read", out);
  if (strcmp(out, weights) == 0)
    return diag_error_at(d, EXIT_USAGE, "-o",
                         "'%s' is also the name of the weights; expected a "
                         ".tam", out);
  return true;
}

int cmd_import(const Options *o, Diags *d, Arena *a) {
  const LoadOpts load = {.ndims = o->dims.n, .dims = o->dims.at,
                         .nconsts = o->consts.n, .consts = o->consts.at};
  const char *out = o->out ? o->out : path_with_ext(a, o->file, ".tam");
  if (!paths_ok(o, d, a, out)) return diags_exit_code(d);
  Module *m = tam_load(d, o->file, &load);
  if (!m) return diags_exit_code(d);
  /* The function of a scan is spelt in a dump alone. */
  if (m->funcs.n > 1) {
    m->dump.after = "parse";
    dump_write(d, m, out);
  } else {
    program_write(d, m, out);
  }
  module_free(m);
  return diags_exit_code(d);
}
