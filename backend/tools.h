/* tools.h - inside backend/: the programs of the system that link. */
#ifndef TAMIS_BACKEND_TOOLS_H
#define TAMIS_BACKEND_TOOLS_H

#include "backend/backend.h"

/* Arguments of a program, its name first. */
typedef struct Args { Arena *a; Vec(const char *) v; } Args;
void arg(Args *x, const char *s);
/* Run a program by its name or path (argv ends with NULL). */
bool program_run(Diags *d, const char *const *argv, bool verbose);

/* The programs for one target; each may bring arguments along. */
typedef enum { TOOL_CC, TOOL_OBJCOPY, TOOL_AR, TOOL_COUNT } Tool;
typedef struct Tools {
  Args tool[TOOL_COUNT];
  const char *missing;     /* the first one that is not there */
} Tools;
/* False when one for a target other than the host is missing. */
bool tools_find(Arena *a, const char *triple, Tools *to);
void tool_args(Args *x, const Tools *t, Tool tool);

#endif
