/* fuzz_tam.c - libFuzzer entry: a hostile .tam text.  What loads must be
 * sound, and print as a text that loads as the same module. */
#include "frontend/frontend.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Module *load(const char *text, size_t size, Diags *d) {
  static const DimArg n = {"N", 2, 0};
  LoadOpts o = {.no_weights = true, .dims = &n};

  o.ndims = strstr(text, "where N ") != NULL;
  if (strstr(text, "recipe pending "))   /* of a printed module */
    o.recipe = "pending";
  else if (strstr(text, "recipe r "))
    o.recipe = "r";
  return tam_load_text(d, "fuzz.tam", text, size, &o);
}

static void check_module(Module *m) {
  Diags *d = diags_new();
  Text why = {0}, first = {0}, second = {0};
  Module *again;

  if (!module_verify(m, &why)) {
    /* Without weights a dump is taken as it stands. */
    if (m->dump.after) {
      text_free(&why);
      diags_free(d);
      return;
    }
    internal_error(__FILE__, __LINE__, "verifier: %s", why.s);
  }
  /* Calls and their results are written in dumps alone. */
  if (m->funcs.n > 1 && !m->dump.after) m->dump.after = "parse";
  module_print(&first, m, NULL);
  again = load(first.s, first.n, d);
  if (!again) {
    fputs(first.s, stderr);
    diags_print(d, stderr, false);
    internal_error(__FILE__, __LINE__, "the printed module does not load");
  }
  module_print(&second, again, NULL);
  if (strcmp(first.s, second.s) != 0)
    internal_error(__FILE__, __LINE__, "printed:\n%s\nread and printed:\n%s",
                   first.s, second.s);
  module_free(again);
  text_free(&why);
  text_free(&first);
  text_free(&second);
  diags_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Arena *a = arena_new();
  Diags *d = diags_new();
  /* A text ends with a NUL, and has none inside (source_read sees to it). */
  char *text = arena_strndup(a, (const char *)data, size);
  Module *m;

  if (strlen(text) == size) {
    m = load(text, size, d);
    ensure((m != NULL) == (diags_errors(d) == 0));
    if (m)
      check_module(m);
    module_free(m);
  }
  diags_free(d);
  arena_free(a);
  return 0;
}
