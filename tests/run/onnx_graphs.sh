#!/bin/sh
# onnx_graphs.sh - random models as ONNX files and back.
count=1500
[ -z "${TAMIS_QUICK:-}" ] || count=200
exec "$BUILDDIR/onnx_graphs" --count=$count
