/* onnx_node.c - what writers of ONNX operators call: operands and results,
 * attributes, reports, and nodes of the IR. */
#include "frontend/onnx.h"

#include <string.h>

/* ---- reports -------------------------------------------------------- */

const char *ox_node_name(const Ox *o) {
  const OxProto *n = o->node;
  if (n->name && *n->name)
    return n->name;
  return n->n_output ? n->output[0] : "";
}

static const char *op_text(Ox *o) {
  const OxProto *n = o->node;
  const char *op = n->op_type ? n->op_type : "";
  bool other = n->domain && *n->domain;
  return other ? arena_printf(o->a, "%s.%s", n->domain, op) : op;
}

OxRefusal *ox_refusal(Ox *o, const char *text, const char *where) {
  OxRefusal *r = map_get(&o->reasons, text);
  if (!r) {
    r = arena_new_of(o->a, OxRefusal);
    *r = (OxRefusal){.text = text, .where = where};
    map_put(o->a, &o->reasons, text, r);
    vec_push(o->a, &o->refused, r);
  }
  return r;
}

void ox_refusal_of(Ox *o, OxRefusal *r) {
  const char *name = ox_node_name(o);
  if (map_get(&r->named, name))
    return;
  map_put(o->a, &r->named, name, r);
  vec_push(o->a, &r->nodes, name);
}

bool ox_refuse(Ox *o, const char *fmt, ...) {
  Text s = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&s, fmt, ap);
  va_end(ap);
  const char *text = arena_printf(o->a, "%s (opset %d) is not supported%s%s",
                                  op_text(o), o->opset, s.n ? ": " : "",
                                  s.n ? s.s : "");
  text_free(&s);
  o->said = true;
  ox_refusal_of(o, ox_refusal(o, text, "in"));
  return false;
}

bool ox_error(Ox *o, int exit, const char *what, const char *name,
              const char *fmt, va_list ap) {
  Text s = {0};
  text_vprintf(&s, fmt, ap);
  diag_error_at(o->d, exit, o->path, "onnx: %s '%s': %s", what,
                name ? name : "", s.s);
  text_free(&s);
  return false;
}

bool ox_malformed(Ox *o, const char *fmt, ...) {
  Text s = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&s, fmt, ap);
  va_end(ap);
  o->said = true;
  diag_error_at(o->d, EXIT_FILE, o->path, "onnx: node '%s' (%s, opset %d): "
                "%s", ox_node_name(o), op_text(o), o->opset, s.s);
  text_free(&s);
  return false;
}

/* ---- operands and results ------------------------------------------- */

int ox_nin(const Ox *o) { return (int)o->node->n_input; }
int ox_nout(const Ox *o) { return (int)o->node->n_output; }

bool ox_has_in(const Ox *o, int i) {
  return i < ox_nin(o) && *o->node->input[i];
}

bool ox_wants(const Ox *o, int i) {
  return i < ox_nout(o) && *o->node->output[i];
}

OxValue *ox_in_value(Ox *o, int i) {
  if (!ox_has_in(o, i))
    return NULL;
  OxValue *v = ox_value(o, o->node->input[i]);
  if (!v && !o->said)
    ox_missing(o, i);
  return v;
}

Node *ox_opt(Ox *o, int i) {
  OxValue *v = ox_in_value(o, i);
  return v ? ox_use(o, v) : NULL;
}

Node *ox_in(Ox *o, int i) {
  if (!ox_has_in(o, i)) {
    if (!o->said)
      ox_malformed(o, "operand %d is missing", i);
    return NULL;
  }
  return ox_opt(o, i);
}

int ox_in_type(Ox *o, int i) {
  OxValue *v = ox_in_value(o, i);
  return v ? v->type : 0;
}

bool ox_give_as(Ox *o, int i, Node *n, int type) {
  if (!n)
    return false;
  if (!ox_wants(o, i))
    return true;
  /* A writer that took operands of types which the operator does not. */
  if (ox_held(type) != (int)n->type.elem)
    return ox_refuse(o, "a result of type %s from operands of these types",
                     ox_type_name(type));
  ox_value_new(o, o->node->output[i], type, n);
  if (!n->name && n->op != OP_PARAM && n->op != OP_CONST)
    n->name = o->node->output[i];
  return true;
}

bool ox_give(Ox *o, int i, Node *n) {
  if (!n)
    return false;
  int type = ox_natural(n->type.elem);
  for (int k = 0; k < ox_nin(o); k++) {
    int in = ox_in_type(o, k);
    if (in && ox_held(in) == (int)n->type.elem) {
      type = in;
      break;
    }
  }
  return ox_give_as(o, i, n, type);
}

/* ---- attributes ----------------------------------------------------- */

enum { AT_FLOAT = 1, AT_INT, AT_STRING, AT_TENSOR, AT_GRAPH, AT_FLOATS,
       AT_INTS };

static const OnnxFile__Attribute *attr_named(const OxProto *n,
                                             const char *name) {
  for (size_t i = 0; n && i < n->n_attribute; i++)
    if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, name))
      return n->attribute[i];
  return NULL;
}

/* What a function says where its caller gives no attribute. */
static const OnnxFile__Attribute *attr_default(const OxScope *s,
                                               const char *name) {
  for (size_t i = 0; i < s->function->n_attribute_proto; i++) {
    const OnnxFile__Attribute *a = s->function->attribute_proto[i];
    if (a->name && !strcmp(a->name, name))
      return a;
  }
  return NULL;
}

const OnnxFile__Attribute *ox_attr(Ox *o, const char *name) {
  const OnnxFile__Attribute *a = attr_named(o->node, name);
  for (OxScope *s = o->scope; a && a->ref_attr_name && *a->ref_attr_name;) {
    while (s && !s->function)
      s = s->up;
    if (!s)
      return NULL;
    const char *ref = a->ref_attr_name;
    a = attr_named(s->call, ref);
    if (!a)
      a = attr_default(s, ref);
    s = s->caller;
  }
  return a;
}

/* Of that type, or of none given but with such a value. */
static const OnnxFile__Attribute *attr_of(Ox *o, const char *name, int type,
                                          const char *what) {
  const OnnxFile__Attribute *a = ox_attr(o, name);
  if (!a || !a->type || a->type == type)
    return a;
  if (!o->said)
    ox_malformed(o, "attribute '%s': expected %s, found type %d", name, what,
                 a->type);
  return NULL;
}

bool ox_has(Ox *o, const char *name) { return ox_attr(o, name) != NULL; }

int64_t ox_int_any(Ox *o, const char *name, int64_t def) {
  const OnnxFile__Attribute *a = attr_of(o, name, AT_INT, "an integer");
  return a ? a->i : def;
}

int64_t ox_int(Ox *o, const char *name, int64_t def) {
  int64_t v = ox_int_any(o, name, def);
  if (v <= OX_INT_MOST && v >= -OX_INT_MOST)
    return v;
  if (!o->said)
    ox_malformed(o, "attribute '%s': expected at most 2^60 either way, "
                 "found %lld", name, (long long)v);
  return def;
}

double ox_float(Ox *o, const char *name, double def) {
  const OnnxFile__Attribute *a = attr_of(o, name, AT_FLOAT, "a float");
  return a ? (double)a->f : def;
}

const char *ox_str(Ox *o, const char *name, const char *def) {
  const OnnxFile__Attribute *a = attr_of(o, name, AT_STRING, "a string");
  return a ? arena_strndup(o->a, a->s.data ? (const char *)a->s.data : "",
                           a->s.len)
           : def;
}

int ox_ints(Ox *o, const char *name, const int64_t **v) {
  const OnnxFile__Attribute *a = attr_of(o, name, AT_INTS, "integers");
  if (!a || a->n_ints > INT32_MAX)
    return -1;
  *v = a->ints;
  return (int)a->n_ints;
}

int ox_floats(Ox *o, const char *name, const double **v) {
  const OnnxFile__Attribute *a = attr_of(o, name, AT_FLOATS, "floats");
  if (!a || a->n_floats > INT32_MAX)
    return -1;
  double *d = arena_array(o->a, double, a->n_floats + 1);
  for (size_t i = 0; i < a->n_floats; i++)
    d[i] = (double)a->floats[i];
  *v = d;
  return (int)a->n_floats;
}

const OnnxFile__Tensor *ox_tensor_attr(Ox *o, const char *name) {
  const OnnxFile__Attribute *a = attr_of(o, name, AT_TENSOR, "a tensor");
  return a ? a->t : NULL;
}

const OnnxFile__Graph *ox_graph_attr(Ox *o, const char *name) {
  const OnnxFile__Attribute *a = attr_of(o, name, AT_GRAPH, "a graph");
  return a ? a->g : NULL;
}

/* ---- nodes ---------------------------------------------------------- */

Node *ox_begin(Ox *o, Op op, Node *const *in, int nin) {
  for (int i = 0; i < nin; i++)
    if (!in[i] && (i < op_info(op)->nrequired || op_info(op)->variadic))
      return NULL;
  if (o->f->nodes.n > OX_NODES_MOST) {
    if (!o->said)
      ox_refuse(o, "the graph becomes more than %d operations",
                OX_NODES_MOST);
    return NULL;
  }
  return func_add(o->m, o->f, op, in, nin);
}

Node *ox_end(Ox *o, Node *n) {
  if (!n)
    return NULL;
  Diags *d = diags_new();
  bool ok = node_infer(o->m, n, d);
  if (!ok && !o->said)
    ox_malformed(o, "%s", diags_last(d));
  diags_free(d);
  if (!ok)
    return NULL;
  Node *known = ox_folded(o, n);
  if (known)
    return known;
  n->path = o->node_path;
  Place at = {.file = path_base(o->path), .node = ox_node_name(o)};
  n->from = arena_new_of(o->m->arena, Place);
  *n->from = at;
  n->nfrom = 1;
  return n;
}

Node *ox_op1(Ox *o, Op op, Node *x) {
  return x ? ox_end(o, ox_begin(o, op, (Node *[]){x}, 1)) : NULL;
}

Node *ox_op2(Ox *o, Op op, Node *a, Node *b) {
  return a && b ? ox_end(o, ox_begin(o, op, (Node *[]){a, b}, 2)) : NULL;
}

Node *ox_op3(Ox *o, Op op, Node *a, Node *b, Node *c) {
  return a && b && c ? ox_end(o, ox_begin(o, op, (Node *[]){a, b, c}, 3))
                     : NULL;
}

Node *ox_cast(Ox *o, Node *x, Elem to) {
  if (!x || x->type.elem == to)
    return x;
  Node *n = ox_begin(o, OP_CAST, &x, 1);
  if (n)
    attr_set_elem(n, "to", to);
  return ox_end(o, n);
}

static bool shape_is(const Node *x, int rank, const int64_t *dim) {
  bool same = x->type.rank == rank;
  for (int i = 0; same && i < rank; i++)
    same = x->type.dim[i] == dim[i];
  return same;
}

static Node *with_ints(Ox *o, Op op, Node *x, const char *attr,
                       const int64_t *v, int n) {
  Node *y = x ? ox_begin(o, op, &x, 1) : NULL;
  if (y)
    attr_set_ints(o->m, y, attr, v, n);
  return y;
}

Node *ox_reshape(Ox *o, Node *x, int rank, const int64_t *dim) {
  if (!x || shape_is(x, rank, dim))
    return x;
  return ox_end(o, with_ints(o, OP_RESHAPE, x, "shape", dim, rank));
}

Node *ox_permute(Ox *o, Node *x, const int64_t *order) {
  bool same = x != NULL;
  for (int i = 0; same && i < x->type.rank; i++)
    same = order[i] == i;
  if (!x || same)
    return x;
  return ox_end(o, with_ints(o, OP_PERMUTE, x, "order", order, x->type.rank));
}

Node *ox_expand(Ox *o, Node *x, int rank, const int64_t *dim) {
  if (!x || shape_is(x, rank, dim))
    return x;
  return ox_end(o, with_ints(o, OP_EXPAND, x, "shape", dim, rank));
}

Node *ox_slice(Ox *o, Node *x, int axis, int64_t start, int64_t stop,
               int64_t step) {
  if (!x || (start == 0 && stop >= x->type.dim[axis] && step == 1))
    return x;
  Node *n = ox_begin(o, OP_SLICE, &x, 1);
  if (n) {
    attr_set_int(n, "axis", axis);
    attr_set_int(n, "start", start);
    attr_set_int(n, "stop", stop);
    attr_set_int(n, "step", step);
  }
  return ox_end(o, n);
}

Node *ox_concat(Ox *o, Node *const *xs, int n, int axis) {
  if (n == 1)
    return xs[0];
  Node *y = ox_begin(o, OP_CONCAT, xs, n);
  if (y)
    attr_set_int(y, "axis", axis);
  return ox_end(o, y);
}

Node *ox_reduce(Ox *o, Op op, Node *x, const int64_t *axes, int n,
                bool keep) {
  Node *y = with_ints(o, op, x, "axes", axes, n);
  if (y)
    attr_set_bool(y, "keep", keep);
  return ox_end(o, y);
}

Node *ox_pad(Ox *o, Node *x, const int64_t *before, const int64_t *after,
             double value) {
  bool none = x != NULL;
  for (int i = 0; none && i < x->type.rank; i++)
    none = before[i] == 0 && after[i] == 0;
  if (!x || none)
    return x;
  Node *y = with_ints(o, OP_PAD, x, "before", before, x->type.rank);
  if (y) {
    attr_set_ints(o->m, y, "after", after, x->type.rank);
    attr_set_float(y, "value", value);
  }
  return ox_end(o, y);
}

Node *ox_gather(Ox *o, Node *x, Node *index, int axis) {
  if (!x || !index)
    return NULL;
  Node *y = ox_begin(o, OP_GATHER, (Node *[]){x, index}, 2);
  if (y)
    attr_set_int(y, "axis", axis);
  return ox_end(o, y);
}

Node *ox_select(Ox *o, Node *x, int64_t index, int axis) {
  Node *y = x ? ox_begin(o, OP_SELECT, &x, 1) : NULL;
  if (y) {
    attr_set_int(y, "index", index);
    attr_set_int(y, "axis", axis);
  }
  return ox_end(o, y);
}

Node *ox_flip(Ox *o, Node *x, int axis) {
  return ox_end(o, with_ints(o, OP_FLIP, x, "axes", (int64_t[]){axis}, 1));
}

Node *ox_item(Ox *o, Node *scan, int i) {
  Node *n = ox_begin(o, OP_ITEM, &scan, 1);
  if (n)
    attr_set_int(n, "index", i);
  return ox_end(o, n);
}

Node *ox_op_float(Ox *o, Op op, Node *x, const char *attr, double v) {
  Node *y = x ? ox_begin(o, op, &x, 1) : NULL;
  if (y)
    attr_set_float(y, attr, v);
  return ox_end(o, y);
}

Node *ox_with(Ox *o, Op op, Node *x, double v) {
  return x ? ox_op2(o, op, x, ox_scalar(o, x->type.elem, v)) : NULL;
}

Node *ox_unsqueeze(Ox *o, Node *x, int axis) {
  int64_t dim[MAX_RANK];
  if (!x)
    return NULL;
  int rank = x->type.rank;
  if (rank == MAX_RANK) {
    ox_refuse(o, "more than %d dimensions", MAX_RANK);
    return NULL;
  }
  for (int i = 0, k = 0; i <= rank; i++)
    dim[i] = i == axis ? 1 : x->type.dim[k++];
  return ox_reshape(o, x, rank + 1, dim);
}

Node *ox_squeeze(Ox *o, Node *x, int axis) {
  int64_t dim[MAX_RANK];
  if (!x)
    return NULL;
  int rank = 0;
  for (int i = 0; i < x->type.rank; i++)
    if (i != axis)
      dim[rank++] = x->type.dim[i];
  return ox_reshape(o, x, rank, dim);
}

bool ox_axis(Ox *o, int64_t axis, int rank, int *out) {
  if (axis < -rank || axis >= rank)
    return ox_malformed(o, "axis %lld is out of range for %d dimensions",
                        (long long)axis, rank);
  *out = (int)(axis < 0 ? axis + rank : axis);
  return true;
}

/* x - floor((x - lo) / 2^bits) * 2^bits, by one floor_mod. */
Node *ox_wrap(Ox *o, Node *x, int type) {
  int64_t lo, range;
  switch (type) {
  case OX_INT8: lo = -128, range = 256; break;
  case OX_UINT16: lo = 0, range = 65536; break;
  case OX_INT16: lo = -32768, range = 65536; break;
  case OX_UINT32: lo = 0, range = (int64_t)1 << 32; break;
  default: return x;
  }
  if (!x)
    return NULL;
  Elem e = x->type.elem;
  if (lo)
    x = ox_op2(o, OP_SUB, x, ox_scalar_int(o, e, lo));
  x = ox_op2(o, OP_FLOOR_MOD, x, ox_scalar_int(o, e, range));
  return lo ? ox_op2(o, OP_ADD, x, ox_scalar_int(o, e, lo)) : x;
}
