#!/bin/sh
# TensorFlow Lite files that lie (tests/tflite/make_bad.py): what is said, and
# no artifact.  Exit code 3: the file is malformed; 4: not supported.
. "$SRCDIR/tests/cli/lib.sh"
count=0

while read -r model code message; do
  count=$((count + 1))
  expect "$model" "$code" "$message" "$TAMIS" build \
    "$SRCDIR/tests/tflite/bad/$model.tflite" -o bad.so
  absent "$model-so" bad.so
done <<'EOF'
axes_computed 4 not supported: REVERSE_V2: axes that are computed$
axis 4 SUM: axis 2 of rank 2$
axis_gather 4 GATHER: axis 5 of rank 2 with 0 axes of batches$
blocks 4 BATCH_TO_SPACE_ND: blocks that do not divide the batch$
broadcast 3 add: shapes \[1,4\] and \[3\] do not broadcast
buffer_long 3 tensor 'k': expected 16 bytes of data, found 36$
buffer_short 3 tensor 'k': expected 16 bytes of data, found 12$
circle 3 operator 0 reads tensor 'y', which nothing before it gives$
empty_overflow 3 tensor 'net/relu_0': dimension 2 is 1073741824$
gather_shape 3 expected f32\[2,4,4\], found f32\[2,4\]$
index_float 4 GATHER: an operand of type float32$
mirror 4 MIRROR_PAD: 4 and 0 around an axis of size 4$
mirror_mode 4 MIRROR_PAD: mode 7$
names_shared 3 byte [0-9]*: vectors overlap too often$
negative 3 tensor 'net/relu_0': dimension 1 is -4$
no_variable 4 RNN: operand 4 is no variable$
operand_absent 4 ADD: operand 1 is absent$
operands_few 4 ADD: expected 2 operands, found 1$
operands_many 4 RELU: expected 1 operand, found 4$
operands_none 4 PACK: expected at least 1 operand, found 0$
overflow 3 tensor 'net/relu_0': dimension 1 is 1073741824$
pack_absent 4 PACK: operand 1 is absent$
planes_cast 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_concat 4 CONCATENATION: operands of another rank$
planes_concat_wide 4 CONCATENATION: operands of another rank$
planes_operands 4 RELU: expected 1 operand, found 2$
planes_operands_pad 4 PADV2: expected 2 or 3 operands, found 4$
planes_pad 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,2,2,3\]$
planes_relu 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_slice 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_softmax 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_sum 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_transpose 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,3,1,1\]$
range 4 RANGE: bounds that are no range$
ranges 4 RANGE: 9437184 elements are too many for the file$
range_step 4 RANGE: a step of 0$
rank 3 tensor 'net/relu_0': expected a rank of at most 8, found 9$
result_shape 3 expected f32\[1,5\], found f32\[1,4\]$
results_many 4 RELU: expected 1 result, found 2$
sparse_block 3 tensor 'w': sparse: a block does not divide its axis$
sparse_dense 3 tensor 'w': sparse: a dense dimension differs from the shape$
sparse_index 3 tensor 'w': sparse: indices do not ascend within the dimension$
sparse_large 3 tensor 'w1': sparse: its shape is too large for the file$
sparse_levels 3 tensor 'w': sparse: expected metadata of each level$
sparse_order 3 tensor 'w': sparse: indices do not ascend within the dimension$
sparse_segment 3 tensor 'w': sparse: a segment lies outside of the indices$
sparse_segments 3 tensor 'w': sparse: a segment is missing$
sparse_traversal 3 sparse: the traversal order is no order of the levels$
sparse_values 3 tensor 'w': sparse: more indices than values$
split_few 4 SPLIT_V: parts of 3 in all along an axis of size 4$
split_part 4 SPLIT: parts that do not fit$
split_sizes 4 SPLIT_V: parts that do not fit$
tensor_index 3 operator 0: expected a tensor below 2, found 99$
tensor_negative 3 operator 0: expected a tensor below 2, found -2$
tile 4 TILE: 1073741824 times axis 1$
tile_overflow 4 TILE: 4611686018427387905 times axis 1$
topk 4 TOPK_V2: 5 of 4$
topk_wide 4 TOPK_V2: more than 2\^31 - 1 elements$
twice 3 operator 1 gives tensor 'net/relu_0', which has a value already$
type_condition 4 SELECT_V2: an operand of type float32$
type_operand 4 SQRT: an operand of type int32$
type_result 4 RELU: a result of type int32$
type_string 4 ADD: an operand of type string$
type_unknown 4 RELU: a result of type an unknown type$
types_differ 4 ADD: operands and results of types f32 and i32$
used_before 3 operator 0 reads tensor 'later', which nothing before it gives$
EOF
expect all 0 "^$count\$" sh -c "ls '$SRCDIR'/tests/tflite/bad/*.tflite | wc -l"
finish
