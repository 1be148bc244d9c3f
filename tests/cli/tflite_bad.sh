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
axes_computed 4 REVERSE_V2 in 'net/reverse_v2_1': operand 1, the axes, is computed$
axis 4 SUM in 'net/sum_0': axis 2 of rank 2$
axis_count 3 ARG_MAX in 'net/arg_max_0': operand 1, the axis, has 2 elements, expected 1$
axis_gather 4 GATHER in 'net/gather_0': axis 5 of rank 2 with 0 axes of batches$
blocks 4 BATCH_TO_SPACE_ND in 'net/batch_to_space_nd_0': 2 blocks do not divide a batch of 1$
broadcast 3 add: shapes \[1,4\] and \[3\] do not broadcast
buffer_short 3 tensor 'k': expected 16 bytes of data, found 12$
buffer_short_axes 3 tensor 'a': expected 8 bytes of data, found 4$
circle 3 operator 0 reads tensor 'y', which nothing before it gives$
conv_rank 4 CONV_2D in 'net/conv_2d_0': expected operands of rank 4, found 2$
empty_overflow 3 tensor 'net/relu_0': dimension 2 is 1073741824$
gather_shape 3 expected f32\[2,4,4\], found f32\[2,4\]$
index_float 4 GATHER in 'net/gather_0': an operand of type float32$
mirror 4 MIRROR_PAD in 'net/mirror_pad_0': 4 and 0 around an axis of size 4$
mirror_mode 4 MIRROR_PAD in 'net/mirror_pad_0': mode 7$
multiples 3 TILE in 'net/tile_0': operand 1, the multiples, has 1 elements, expected 2$
names_shared 3 byte [0-9]*: vectors overlap too often$
negative 3 tensor 'net/relu_0': dimension 1 is -4$
no_value 3 ADD in 'net/add_0': tensor 'k' has no value$
no_variable 4 RNN in 'net/rnn_0': operand 4 is no variable$
operand_absent 4 ADD in 'net/add_0': operand 1 is absent$
operands_few 4 ADD in 'net/add_0': expected 2 operands, found 1$
operands_many 4 RELU in 'net/relu_0': expected 1 operand, found 4$
operands_none 4 PACK in 'net/pack_0': expected at least 1 operand, found 0$
order 3 TRANSPOSE in 'net/transpose_0': operand 1, the order, has 3 elements, expected 2$
overflow 3 tensor 'net/relu_0': dimension 1 is 1073741824$
pack_absent 4 PACK in 'net/pack_0': operand 1 is absent$
planes_cast 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_concat 4 CONCATENATION in 'net/concatenation_2': operand 0 of rank 4, expected 8$
planes_concat_wide 4 CONCATENATION in 'net/concatenation_2': operand 1 of rank 4, expected 8$
planes_operands 4 RELU in 'net/relu_2': expected 1 operand, found 2$
planes_operands_pad 4 PADV2 in 'net/padv2_2': expected 2 or 3 operands, found 4$
planes_pad 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,2,2,3\]$
planes_relu 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_slice 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_softmax 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_sum 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,1,1,3\]$
planes_transpose 3 expected f32\[7,7,7,1,1,1,1,1\], found f32\[1,3,1,1\]$
range 4 RANGE in 'net/range_0': bounds that are no range$
range_step 4 RANGE in 'net/range_0': a step of 0$
ranges 4 RANGE in 'net/range_1': 9437184 elements are too many for the file$
rank 3 tensor 'net/relu_0': expected a rank of at most 8, found 9$
reshape 3 RESHAPE in 'net/reshape_0': expected a result of 4 elements, found 7$
reshape_computed 4 RESHAPE in 'net/reshape_1': operand 1 is computed$
result_shape 3 expected f32\[1,5\], found f32\[1,4\]$
results_many 4 RELU in 'net/relu_0': expected 1 result, found 2$
same_reason 4 supported: RFFT2D in 'net/rfft2d_0'; BITCAST in 'net/bitcast_1'$
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
split_few 4 SPLIT_V in 'net/split_v_0': parts of 3 in all along an axis of size 4$
split_part 4 SPLIT in 'net/split_0': part 1 of shape \[1,1\] behind 2 of axis 1$
split_sizes 4 SPLIT_V in 'net/split_v_0': part 0 of shape \[1,2\] behind 0 of axis 1$
tensor_index 3 operator 0: expected a tensor below 2, found 99$
tensor_negative 3 operator 0: expected a tensor below 2, found -2$
tile 4 TILE in 'net/tile_0': 1073741824 times axis 1$
tile_overflow 4 TILE in 'net/tile_0': 4611686018427387905 times axis 1$
topk 4 TOPK_V2 in 'net/topk_v2_0': 5 of 4$
topk_wide 4 TOPK_V2 in 'net/topk_v2_0': more than 2\^31 - 1 elements$
twice 3 operator 1 gives tensor 'net/relu_0', which has a value already$
type_condition 4 SELECT_V2 in 'net/select_v2_0': an operand of type float32$
type_operand 4 SQRT in 'net/sqrt_0': an operand of type int32$
type_result 4 RELU in 'net/relu_0': a result of type int32$
type_string 4 ADD in 'net/add_0': an operand of type string$
type_unknown 4 RELU in 'net/relu_0': a result of type an unknown type$
types_differ 4 ADD in 'net/add_0': operands and results of types f32 and i32$
used_before 3 operator 0 reads tensor 'later', which nothing before it gives$
EOF
expect all 0 "^$count\$" sh -c "ls '$SRCDIR'/tests/tflite/bad/*.tflite | wc -l"
finish
