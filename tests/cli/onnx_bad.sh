#!/bin/sh
# ONNX files that lie (tests/onnx/make_bad.py): what is said, and no artifact.
# Exit code 2: something is to be given; 3: the file is malformed; 4: not
# supported.
. "$SRCDIR/tests/cli/lib.sh"
PYTHONDONTWRITEBYTECODE=1 python3 "$SRCDIR/tests/onnx/make_bad.py" bad ||
  exit 1
echo x >outside.bin
ln -s ../outside.bin bad/link.bin
count=0

while read -r model code message; do
  count=$((count + 1))
  expect "$model" "$code" "$message" "$TAMIS" build "bad/$model.onnx" -o bad.so
  absent "$model-so" bad.so
done <<'EOF'
attribute_type 3 node 'y' \(Concat, opset 17\): attribute 'axis': expected an integer, found type 3$
axis 3 node 'y' \(Concat, opset 17\): axis 5 is out of range for 2 dimensions$
broadcast 3 node 'y' \(Add, opset 17\): add: shapes \[2,3\] and \[4\] do not broadcast
circle 3 node 'a' \(Add, opset 17\): operand 1: 'b' comes from this node itself: a cycle through node 'b'$
circle_inside 3 node 'd' \(Relu, opset 17\): operand 0: 'y' comes from this node itself: a cycle through node 'y'$
circle_long 3 node 'a' \(Add, opset 17\): operand 1: 'c' comes from this node itself: a cycle through node 'c'$
circle_of_one 3 node 'y' \(Add, opset 17\): operand 1: 'y' comes from this node itself: a cycle through node 'y'$
claims_2g 3 byte 74: .*found a field longer than its message$
claims_max 3 byte 0: .*found a field longer than its message$
dim_zero 3 byte [0-9]+: .*found a zero byte in a text$
empty 3 expected a graph with outputs, found none$
external_behind 3 tensor 'k': external data: 12 bytes from byte 18446744073709551615 on lie outside the file 'bytes.bin' of 64$
external_length 3 tensor 'k': external data: its shape takes 12 bytes, its length is 5$
external_link 3 tensor 'k': external data: 'link.bin' leads out of the model's folder$
external_none 3 tensor 'k': external data: expected a location inside the model's folder, found ''$
external_nowhere 3 nowhere.bin: .*No such file
external_offset 3 tensor 'k': external data: 12 bytes from byte 9999999999999999 on lie outside the file 'bytes.bin' of 64$
external_root 3 expected a location inside the model's folder, found '/etc/hostname'$
external_up 3 expected a location inside the model's folder, found '../k.bin'$
external_up_inside 3 expected a location inside the model's folder, found 'a/../../k.bin'$
external_word 3 external data: offset: expected a number, found '-1x'$
external_zero 3 byte [0-9]+: expected a field of a protobuf message, found a zero byte in a text$
field_zero 3 byte 0: .*found a field number out of range$
function_inputs 3 node 'y' \(own.f, opset 1\): the function has 1 inputs and 1 outputs; found 2 and 1$
function_itself 4 own.f \(opset 1\) is not supported: a function that calls itself, in node 'b'$
function_output 3 the function does not compute its output 'b'$
functions_many 4 own.f[0-9]+ \(opset 1\) is not supported: it becomes more than 65536 nodes
functions_unknown 4 Foo \(opset 17\) is not supported, in node 'b'$
if_both_unknown 4 Bar \(opset 17\) is not supported, in node 'b'$
if_deep 3 graphs too deep inside one another$
if_deeper 3 graphs too deep inside one another$
if_missing 3 node 'y' \(If, opset 17\): the graph 'then_branch' is missing$
if_shapes 4 If \(opset 17\) is not supported: its condition is not constant, and result 0 has one shape or type in one branch and another in the other, in node 'y'$
input_free 2 input 'x': the dimension 'batch' is free: fix it with --dim 'batch=...', or give its bound with --dim 'batch=1..MOST'$
input_huge 3 input 'x': dimensions overflow$
input_map 4 input 'm': it is no tensor, which is not supported$
input_minus_one 2 input 'x': the dimension 'x_0' is free: fix it with --dim 'x_0=...', or give its bound with --dim 'x_0=1..MOST'$
input_empty 3 input 'x': dimensions overflow
input_negative 3 input 'x': dimension 0: expected -1 or more, found -2$
input_rank 4 input 'x': expected at most 8 dimensions, found 9, used by node 'y'$
input_string 4 input 'x': type string is not supported, used by node 'y'$
input_string_net 4 input 's': type string is not supported, used by nodes 'a', 'c'$
input_twice 3 input 1: expected a name of its own, found 'x'$
input_unused 3 input 'w': dimensions overflow$
long_number 3 byte 11: .*a number of more than ten bytes$
loop_forever 4 Loop \(opset 17\) is not supported: more than 4096 turns, in node 'y'$
loop_shape 4 Loop \(opset 17\) is not supported: its state 0 changes shape or type from step to step
lrn_size 3 attribute 'size': expected at most 2\^60 either way, found -92233
makes_much 4 NonZero \(opset 17\) is not supported: .*must be a constant
name_zero 3 byte [0-9]+: .*found a zero byte in a text$
no_graph 3 expected a graph with outputs, found none$
no_opset 3 the model imports no opset of the operator's domain$
no_outputs 3 expected a graph with outputs, found none$
no_value 3 node 'y' \(Add, opset 17\): operand 1: no value is named 'nowhere' here$
operand_missing 3 node 'y' \(Add, opset 17\): operand 1 is missing$
opset_inside 4 opset 1000 is not supported: the newest that is known is 28$
opset_negative 3 opset -1 of domain ''$
opset_newer 4 opset 29 is not supported: the newest that is known is 28$
order 3 node 'y' \(Add, opset 17\): operand 1: 'b' comes from node 'b', which stands behind it: expected nodes in the order of their values$
output_double 3 output 'y': it is declared as double, and the graph computes float$
output_int64 3 output 'y': it is declared as int64, and the graph computes float$
output_missing 3 nothing computes the output 'z'$
output_sequence 3 output 'y': it is declared as no tensor, and the graph computes float$
reduce_int4 4 a result of type uint4 from operands of these types, in node 'y'$
reshape_computed 4 Reshape \(opset 17\) is not supported: shape \('s'\) must be a constant; an input that determines a shape is fixed with --const
results_more 3 node 'a' \(Relu, opset 17\): it has no result 1 \('b'\)$
pool_spread 4 MaxPool \(opset 17\) is not supported: it makes too large constants
sparse_huge 4 initialiser \(opset 17\) is not supported: it makes too large constants, in node 'w'$
tensor_fields 3 tensor 'k': expected its values in one field, found several$
tensor_huge 3 tensor 'k': dimensions overflow$
tensor_int4_few 3 tensor 'k': expected 2 bytes of two values, found 1$
tensor_int4_wide 3 tensor 'k': byte 0 of its values: expected 0 to 255, found 256$
tensor_long 3 tensor 'k': its shape takes 12 bytes, its data have 16$
tensor_nameless 3 initialiser 0: expected a name of its own, found ''$
tensor_negative 3 tensor 'k': dimension 0: expected none below 0, found -3$
tensor_none 3 tensor 'k': expected 3 values, found 0$
tensor_other_field 3 tensor 'k': values of type float in a field of another type$
tensor_rank 3 tensor 'k': expected at most 8 dimensions, found 9$
tensor_short 3 tensor 'k': its shape takes 12 bytes, its data have 8$
tensor_string 3 operands of types float and string$
tensor_twice 3 initialiser 1: expected a name of its own, found 'k'$
tensor_type 3 operands of types float and an unknown type$
text 3 byte 0: .*found a field of an unknown wire type$
truncated 3 byte 2: .*found a field longer than its message$
twice 3 node 'y' \(Abs, opset 17\): a value 'y' was there before$
unknown_domain 4 mine.Relu \(opset 0\) is not supported, in node 'y'$
unknown_inside 4 Foo \(opset 17\) is not supported, in node 't'$
unknown_ops 4 Bar \(opset 17\) is not supported, in node 'bar'$
wire_type 3 byte 0: .*found a field of an unknown wire type$
EOF
expect all-of-an-operator 4 "Foo \(opset 17\) is not supported, in nodes 'a', 'c'$" \
  "$TAMIS" build bad/unknown_ops.onnx -o bad.so
# All at once.
expect unknown-string 4 "Foo \(opset 17\) is not supported, in node 'b'$" \
  "$TAMIS" build bad/input_string_net.onnx -o bad.so
also unknown-string-1 "StringNormalizer \(opset 17\) .*, in node 'a'$"
also unknown-string-2 "StringConcat \(opset 17\) .*, in node 'c'$"
expect unknown-then 4 "Foo \(opset 17\) is not supported, in node 'a'$" \
  "$TAMIS" build bad/if_both_unknown.onnx -o bad.so
expect unknown-inside-then 4 "Bar \(opset 17\) .*, in node 'b'$" \
  "$TAMIS" build bad/unknown_inside.onnx -o bad.so
also unknown-inside-function "Baz \(opset 17\) .*, in node 'c'$"
expect unknown-dead 1 '' grep Left also.txt
expect enough 0 '' [ "$count" -ge 75 ]
finish
