/* compat.h - the only place that names a version of LLVM.  19 to 22 build;
 * what their C interfaces do differently is bridged here. */
#ifndef TAMIS_COMPAT_H
#define TAMIS_COMPAT_H

#include <llvm-c/Core.h>
#include <llvm/Config/llvm-config.h>

#if LLVM_VERSION_MAJOR < 19 || LLVM_VERSION_MAJOR > 22
#error "LLVM 19 to 22 expected"
#endif

/* Whether masked loads and stores take their alignment as an operand; later
 * it is an attribute of the pointer, and 1 without it. */
#define MASKED_ALIGN_OPERAND (LLVM_VERSION_MAJOR < 22)

#define LLVM_VERSION_TEXT LLVM_VERSION_STRING

#endif
