#!/bin/sh
# ONNX operators on maps (tests/onnx/make_maps.py): native code and evaluator
# give what is computed pixel by pixel, also of the file imported; what is
# said of those that are malformed (3) or not supported (4).
. "$SRCDIR/tests/cli/lib.sh"
nets=$(PYTHONDONTWRITEBYTECODE=1 python3 "$SRCDIR/tests/onnx/make_maps.py" \
  maps) || exit 1
for net in $nets; do
  expect "$net-import" 0 '' "$TAMIS" import maps/$net.onnx -o $net.tam
  for file in maps/$net.onnx $net.tam; do
    expect "$net of $file" 0 'all within tolerance' "$TAMIS" check $file \
      --in x=maps/$net.in.npy --expect y=maps/$net.out.npy
  done
done

count=0
while read -r model code message; do
  count=$((count + 1))
  expect "$model" "$code" "$message" \
    "$TAMIS" build "maps/bad/$model.onnx" -o bad.so
  absent "$model-so" bad.so
done <<'EOF'
affine_one 4 align_corners=1 with an axis of size 1
affine_theta 3 no transformation of 2 by 3 numbers for each map
align_columns 3 expected regions of 4 numbers
align_computed 4 sampling_ratio=0 with regions that are no constants
align_maps 3 expected one index of a map for each region
conv_act 4 activation 'Elu' of 0 parameters
conv_empty 3 a weight of size 0, expected 1 to 2\^30
conv_groups 3 conv2d: groups=2 does not divide output channels 3
conv_rank 3 an input of 4 dimensions, a weight of 3
conv_sizes 3 kernel_shape has 2, the weight 3
deform_group 3 offset_group=3 of 2 channels
deform_offset 3 offset: expected shape \[1,2,4,4\]
global_point 3 expected 3 or more dimensions, found 2
grid_mode 3 mode='lanczos'
grid_outside 3 padding_mode='wrap'
grid_points 3 the grid has not a point of 2 numbers for each pixel
lrn_size 3 size=0, expected 1 to 2\^30
nhwc_line 4 a value of 3 dimensions
norm_axis 3 axis 4 is out of range for 4 dimensions
norm_groups 3 3 groups of 2 channels
norm_is_test 4 statistics of the values, as in training
norm_scale 3 the scale or the bias has a greater shape than x
norm_spatial 4 statistics of each pixel \(spatial=0\)
norm_stash 4 stash_type=11
norm_trained 4 statistics as results, as in training
places_padding 4 places in windows of padding alone
pool_auto 3 auto_pad='SAME', expected NOTSET, SAME_UPPER, SAME_LOWER or VALID
pool_axes 4 windows over 4 axes
pool_negative 4 negative pads
pool_none 3 attribute 'kernel_shape' is missing
pool_point 3 expected 3 or more dimensions, found 2
pool_power 3 p=0, expected 1 or more
pool_reach 3 a window reaches over 5, the padded input has only 4
pool_sizes 3 attribute 'kernel_shape': expected 2 integers, found 1
pool_stride 3 attribute 'strides': 0, expected 1 to 2\^30
resize_computed 4 scales \('s'\) must be a constant
resize_far 3 a position of 2.7e\+31
resize_few 3 3 scales or sizes, expected 4
resize_mode 3 mode='lanczos'
resize_roi 3 roi has 1 numbers, expected 8
resize_scale 3 a scale of 0
resize_twice 3 axis 2 is named twice
roi_computed 4 regions that are no constants
roi_map 3 a region of map 7
transpose_cut 3 conv2d_transpose: the padding cuts 6 off along h, there are only 4
transpose_size 3 output_shape: -4, expected 1 to 2\^30
transpose_sizes 3 output_shape has 3 sizes, expected 2
unpool_shape 3 the places have another shape than the values
upsample_few 3 0 scales, expected 4
EOF
expect enough 0 '' [ "$count" -ge 49 ]
finish
