/* graphgen_main.c - the command around the generator:
 *   graphgen [--seed=S] [--count=N] [--out=DIR]
 * prints the models of seeds S .. S+N-1, or writes each with its weights to
 * DIR/g<seed>.tam and DIR/g<seed>.safetensors. */
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "tests/gen/graphgen.h"

static bool write_weights(Diags *d, const char *path, const Module *m) {
  size_t n = m->params.n;
  WeightTensor *t = arena_array(m->arena, WeightTensor, n + 1);
  for (size_t i = 0; i < n; i++) {
    const Param *p = m->params.at[i];
    t[i] = (WeightTensor){p->path, p->type, p->data};
  }
  return safetensors_write(d, path, t, n);
}

/* The text goes on in front of its last brace with the weights' name. */
static bool write_graph(const char *dir, uint64_t seed, const Text *text) {
  Diags *d = diags_new();
  Arena *a = arena_new();
  LoadOpts lo = {.provide = graph_provide, .provide_ctx = &seed};
  char *name = arena_printf(a, "g%llu", (unsigned long long)seed);
  char *tam = path_join(a, dir, arena_printf(a, "%s.tam", name));
  char *weights = arena_printf(a, "%s.safetensors", name);
  Module *m = tam_load_text(d, tam, text->s, text->n, &lo);
  char *whole = arena_printf(a, "%.*s  weights \"%s\";\n}\n",
                             (int)(text->n - 2), text->s, weights);
  bool ok = m && write_weights(d, path_join(a, dir, weights), m) &&
            file_write(d, tam, whole, strlen(whole));
  diags_print(d, stderr, false);
  if (m) module_free(m);
  diags_free(d);
  arena_free(a);
  return ok;
}

static bool option(const char *arg, const char *name, const char **value) {
  size_t n = strlen(name);
  if (strncmp(arg, name, n) != 0) return false;
  *value = arg + n;
  return true;
}

int main(int argc, char **argv) {
  const char *seed = "1", *count = "1", *dir = NULL;
  for (int i = 1; i < argc; i++)
    if (!option(argv[i], "--seed=", &seed) &&
        !option(argv[i], "--count=", &count) &&
        !option(argv[i], "--out=", &dir)) {
      fprintf(stderr, "graphgen: expected --seed=, --count= or --out=, "
              "found %s\n", argv[i]);
      return EXIT_USAGE;
    }
  uint64_t first = strtoull(seed, NULL, 10), n = strtoull(count, NULL, 10);
  bool ok = true;
  for (uint64_t s = first; s < first + n; s++) {
    Text text = {0};
    graph_generate(&text, s);
    if (dir) ok = write_graph(dir, s, &text) && ok;
    else fputs(text.s, stdout);
    text_free(&text);
  }
  return ok ? 0 : 1;
}
