/* tflite_name.h - names of tensors as paths of the language. */
#ifndef TAMIS_TFLITE_NAME_H
#define TAMIS_TFLITE_NAME_H

#include "base/base.h"

const char *tflite_path(Arena *a, const char *name);

#endif
