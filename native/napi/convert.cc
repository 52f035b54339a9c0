// See convert.h.
#include "napi/convert.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstring>

#include "napi/support.h"

namespace mnv2 {
namespace {

/** The typed array the values of a type cross in; of bfloat16 and bool see host_form. */
struct HostArray {
  at::ScalarType type;
  napi_typedarray_type array;
};
constexpr HostArray kArrays[] = {{at::kFloat, napi_float32_array}, {at::kDouble, napi_float64_array},
                                 {at::kLong, napi_bigint64_array}, {at::kInt, napi_int32_array},
                                 {at::kChar, napi_int8_array},     {at::kByte, napi_uint8_array}};

at::ScalarType element_type(const Napi::TypedArray& array, const std::string& what) {
  for (const auto& [type, kind] : kArrays) {
    if (kind == array.TypedArrayType()) return type;
  }
  refuse(what, "data in a Float32Array, Float64Array, BigInt64Array, Int32Array, Int8Array or Uint8Array");
}

napi_typedarray_type array_of(const at::Tensor& value) {
  for (const auto& [type, kind] : kArrays) {
    if (type == value.scalar_type()) return kind;
  }
  throw Failure("NATIVE", std::string("a tensor of ") + at::toString(value.scalar_type()) + " has no typed array");
}

/** Elements of a shape; -1 where they are more than an array can have. */
int64_t count_of(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (auto d : shape) {
    if (d < 0 || (d > 0 && count > 9007199254740991 / d)) return -1;
    count *= d;
  }
  return count;
}

Attrs::Value attr_from(const Napi::Value& value, const std::string& what) {
  if (value.IsNumber()) return value.As<Napi::Number>().DoubleValue();
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  if (!value.IsArray()) refuse(what, "a number, boolean, string or list of numbers", value);
  auto array = value.As<Napi::Array>();
  std::vector<double> list;
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(number_from(array.Get(i), what));
  return list;
}

Node node_from(const Napi::Value& value, size_t index) {
  const auto what = "graph: node " + std::to_string(index);
  const auto spec = object_from(value, what, "{ op, inputs, attrs, path, shape, dtype }");
  Node node;
  node.op = text_from(spec.Get("op"), what + ".op");
  node.path = text_from(spec.Get("path"), what + ".path");
  node.shape = integers_from(spec.Get("shape"), what + ".shape", -1);
  node.dtype = dtype_from(spec.Get("dtype"), what + ".dtype");
  for (auto input : integers_from(spec.Get("inputs"), what + ".inputs", 0)) {
    if (input >= static_cast<int64_t>(index)) refuse(what + ".inputs", "nodes before it, got " + std::to_string(input));
    node.inputs.push_back(static_cast<int>(input));
  }
  const auto attrs = object_from(spec.Get("attrs"), what + ".attrs");
  if (node.op == "input" || node.op == "parameter") {
    node.kind = node.op == "input" ? Node::Kind::input : Node::Kind::parameter;
    node.name = text_from(attrs.Get("name"), what + ".attrs.name");
  } else if (node.op == "constant") {
    node.kind = Node::Kind::constant;
    const auto data = attrs.Get("data");
    if (!data.IsTypedArray()) refuse("constant", "data in a typed array", data);
    node.constant = tensor_from(data, node.shape, element_type(data.As<Napi::TypedArray>(), "constant"), "constant");
  } else {
    if (node.op == "gradient") node.kind = Node::Kind::gradient;
    for (const auto& key : keys_of(attrs)) node.attrs.values[key] = attr_from(attrs.Get(key), node.op + "." + key);
  }
  return node;
}

OptimizerSpec optimizer_from(const Napi::Value& value) {
  const auto o = object_from(value, "train.optimizer");
  OptimizerSpec spec;
  spec.kind = text_from(o.Get("kind"), "train.optimizer.kind");
  auto optional = [&](const char* key, double& into) {
    const auto given = o.Get(key);
    if (!given.IsUndefined()) into = number_from(given, std::string("train.optimizer.") + key);
  };
  optional("momentum", spec.momentum), optional("weightDecay", spec.weight_decay), optional("beta1", spec.beta1);
  optional("beta2", spec.beta2), optional("eps", spec.eps), optional("alpha", spec.alpha);
  spec.nesterov = o.Get("nesterov").ToBoolean();
  spec.eps_inside_sqrt = o.Get("epsInsideSqrt").ToBoolean();
  return spec;
}

}  // namespace

at::ScalarType dtype_from(const Napi::Value& value, const std::string& what) {
  return dtype_from(text_from(value, what), what);
}

at::Tensor tensor_from(const Napi::Value& data, const std::vector<int64_t>& shape, at::ScalarType dtype,
                       const std::string& what) {
  if (!data.IsTypedArray()) refuse(what, "data in a typed array", data);
  const auto array = data.As<Napi::TypedArray>();
  const auto own = element_type(array, what);
  const auto buffer = array.Get("buffer");
  if (!buffer.IsArrayBuffer()) refuse(what, "data in memory of its own; copy what lies in a SharedArrayBuffer first");
  const int64_t count = count_of(shape);
  // Read last: nothing of the caller's runs between here and the copy. Of a detached or shrunken buffer it is 0.
  if (count != static_cast<int64_t>(array.ElementLength())) {
    const auto expected =
        count < 0 ? "a shape of whole numbers that an array can have" : std::to_string(count) + " values for its shape";
    refuse(what, expected + ", got " + std::to_string(array.ElementLength()));
  }
  // A copy: whoever gave the array may change it, or hand it to another thread, before the engine comes to it.
  auto copy = at::empty(shape, own);
  const auto* start = static_cast<const uint8_t*>(buffer.As<Napi::ArrayBuffer>().Data()) + array.ByteOffset();
  if (count > 0) std::memcpy(copy.data_ptr(), start, copy.nbytes());
  return dtype == own ? copy : copy.to(dtype);
}

at::Tensor tensor_from(const Napi::Value& value, const std::string& what) {
  const auto object = object_from(value, what, "{ data, shape, dtype }");
  const auto shape = integers_from(object.Get("shape"), what + ".shape", 0);
  const auto dtype = dtype_from(object.Get("dtype"), what + ".dtype");
  return tensor_from(object.Get("data"), shape, dtype, what);
}

at::Tensor host_form(const at::Tensor& value) {
  auto host = value.to(at::kCPU);
  if (host.scalar_type() == at::kBFloat16) host = host.to(at::kFloat);
  if (host.scalar_type() == at::kBool) host = host.to(at::kByte);
  // The caller owns what it gets: never the memory of a parameter or a constant.
  return host.is_contiguous() && !host.is_alias_of(value) ? host : host.clone(at::MemoryFormat::Contiguous);
}

Napi::Object tensor_to(Napi::Env env, const at::Tensor& value) {
  const size_t bytes = value.numel() * value.element_size();
  Napi::ArrayBuffer buffer;
  if (bytes > 0) {  // it owns the tensor: no copy
    auto* keep = new at::Tensor(value);
    buffer = Napi::ArrayBuffer::New(
        env, keep->data_ptr(), bytes, [](Napi::Env, void*, at::Tensor* kept) { delete kept; }, keep);
  } else {
    buffer = Napi::ArrayBuffer::New(env, 0);
  }
  napi_value data;
  if (napi_create_typedarray(env, array_of(value), value.numel(), buffer, 0, &data) != napi_ok)
    throw Napi::Error::New(env);
  auto shape = Napi::Array::New(env, value.dim());
  for (int64_t i = 0; i < value.dim(); i++) shape.Set(static_cast<uint32_t>(i), Napi::Number::New(env, value.size(i)));
  auto result = Napi::Object::New(env);
  result.Set("data", data);
  result.Set("shape", shape);
  result.Set("dtype", Napi::String::New(env, dtype_name(value.scalar_type())));
  return result;
}

Graph graph_from(const Napi::Value& value) {
  const auto spec = object_from(value, "compile", "a graph");
  Graph graph;
  const auto nodes = spec.Get("nodes");
  if (!nodes.IsArray()) refuse("graph: nodes", "a list", nodes);
  for (uint32_t i = 0; i < nodes.As<Napi::Array>().Length(); i++)
    graph.nodes.push_back(node_from(nodes.As<Napi::Array>().Get(i), i));
  const auto names = object_from(spec.Get("names"), "graph: names");
  const int64_t last = static_cast<int64_t>(graph.nodes.size()) - 1;
  for (const auto& key : keys_of(names))
    graph.names[key] = static_cast<int>(whole_from(names.Get(key), "graph: names." + key, 0, last));
  graph.outputs = strings_from(spec.Get("outputs"), "graph: outputs");
  const auto precision = text_from(spec.Get("precision"), "compile: precision");
  if (precision != "fp32" && precision != "bf16") refuse("compile: precision", "fp32 or bf16, got '" + precision + "'");
  graph.bf16 = precision == "bf16";
  graph.fuse = spec.Get("fuse").ToBoolean();
  graph.cuda_graph = spec.Get("cudaGraph").ToBoolean();
  const auto train = spec.Get("train");
  if (train.IsUndefined()) return graph;
  const auto t = object_from(train, "train", "{ loss, parameters, optimizer }");
  const auto loss = text_from(t.Get("loss"), "train.loss");
  const auto found = graph.names.find(loss);
  if (found == graph.names.end()) refuse("train.loss", "the name of an output, got '" + loss + "'");
  graph.loss = found->second;
  if (!graph.nodes[graph.loss].shape.empty()) refuse("train.loss", "a scalar output");
  graph.trained = strings_from(t.Get("parameters"), "train.parameters");
  if (graph.trained.empty()) refuse("train.parameters", "at least one parameter to train");
  auto& update = graph.update;
  update.optimizer = optimizer_from(t.Get("optimizer"));
  const auto rates = object_from(t.Get("rates"), "train.rates", "a factor by parameter");
  for (const auto& name : keys_of(rates)) update.rates[name] = number_from(rates.Get(name), "train.rates." + name);
  for (const auto& name : strings_from(t.Get("undecayed"), "train.undecayed")) update.undecayed.insert(name);
  update.clip = number_from(t.Get("clip"), "train.clip");
  update.accumulate = t.Get("accumulate").ToBoolean();
  const auto average = t.Get("average");
  if (average.IsUndefined()) return graph;
  const auto a = object_from(average, "train.average", "{ decay, names }");
  update.average = number_from(a.Get("decay"), "train.average.decay");
  update.averaged = strings_from(a.Get("names"), "train.average.names");
  return graph;
}

}  // namespace mnv2
