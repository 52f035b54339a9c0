// See convert.h.
#include "napi/convert.h"

#include <ATen/ATen.h>

#include <cstring>

namespace mnv2 {
namespace {

[[noreturn]] void refuse(const std::string& what, const std::string& expected) {
  throw Failure("USAGE", what + ": expected " + expected);
}

/** The tensor type a typed array's elements are. */
at::ScalarType element_type(napi_typedarray_type type, const std::string& what) {
  switch (type) {
    case napi_float32_array: return at::kFloat;
    case napi_float64_array: return at::kDouble;
    case napi_bigint64_array: return at::kLong;
    case napi_int32_array: return at::kInt;
    case napi_uint8_array: return at::kByte;
    default: refuse(what, "data in a Float32Array, Float64Array, BigInt64Array, Int32Array or Uint8Array");
  }
}

/** A copy: whoever gave the array may change it, or hand it to another thread, before the engine comes to it. */
at::Tensor copy_of(const Napi::Value& value, const std::vector<int64_t>& shape, const std::string& what) {
  if (!value.IsTypedArray()) refuse(what, "data in a typed array");
  auto array = value.As<Napi::TypedArray>();
  int64_t count = 1;
  for (auto d : shape) count *= d;
  if (count != static_cast<int64_t>(array.ElementLength())) {
    refuse(what, std::to_string(count) + " values for its shape, got " + std::to_string(array.ElementLength()));
  }
  const auto type = element_type(array.TypedArrayType(), what);
  auto* start = static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
  auto copy = at::empty(shape, type);
  if (count > 0) std::memcpy(copy.data_ptr(), start, copy.nbytes());
  return copy;
}

Attrs::Value attr_from(const Napi::Value& value, const std::string& what) {
  if (value.IsNumber()) return value.As<Napi::Number>().DoubleValue();
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  if (!value.IsArray()) refuse(what, "a number, boolean, string or list of numbers");
  auto array = value.As<Napi::Array>();
  std::vector<double> list;
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(array.Get(i).ToNumber().DoubleValue());
  return list;
}

Node node_from(const Napi::Object& spec, size_t index) {
  Node node;
  node.op = text_at(spec, "op");
  node.path = text_at(spec, "path");
  node.shape = integers_from(spec.Get("shape"), "shape");
  node.dtype = dtype_from(text_at(spec, "dtype"));
  for (auto input : integers_from(spec.Get("inputs"), "inputs")) {
    if (input < 0 || input >= static_cast<int64_t>(index))
      refuse("graph", "inputs before their users at node " + std::to_string(index));
    node.inputs.push_back(static_cast<int>(input));
  }
  auto attrs = spec.Get("attrs").As<Napi::Object>();
  if (node.op == "input" || node.op == "parameter") {
    node.kind = node.op == "input" ? Node::Kind::input : Node::Kind::parameter;
    node.name = text_at(attrs, "name");
  } else if (node.op == "constant") {
    node.kind = Node::Kind::constant;
    node.constant = copy_of(attrs.Get("data"), node.shape, "constant");
  } else {
    if (node.op == "gradient") node.kind = Node::Kind::gradient;
    auto keys = attrs.GetPropertyNames();
    for (uint32_t i = 0; i < keys.Length(); i++) {
      const auto key = keys.Get(i).As<Napi::String>().Utf8Value();
      node.attrs.values[key] = attr_from(attrs.Get(key), node.op + "." + key);
    }
  }
  return node;
}

}  // namespace

double number_at(const Napi::Object& object, const char* key) {
  auto value = object.Get(key);
  if (!value.IsNumber()) refuse(key, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

bool flag_at(const Napi::Object& object, const char* key) { return object.Get(key).ToBoolean().Value(); }

std::string text_at(const Napi::Object& object, const char* key) {
  auto value = object.Get(key);
  if (!value.IsString()) refuse(key, "a string");
  return value.As<Napi::String>().Utf8Value();
}

std::vector<int64_t> integers_from(const Napi::Value& value, const std::string& what) {
  if (!value.IsArray()) refuse(what, "a list of whole numbers");
  auto array = value.As<Napi::Array>();
  std::vector<int64_t> list;
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(array.Get(i).ToNumber().Int64Value());
  return list;
}

std::vector<std::string> strings_from(const Napi::Value& value) {
  std::vector<std::string> list;
  if (!value.IsArray()) return list;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(array.Get(i).ToString().Utf8Value());
  return list;
}

at::Tensor tensor_from(const Napi::Value& value, const std::string& what) {
  if (!value.IsObject()) refuse(what, "{ data, shape, dtype }");
  auto object = value.As<Napi::Object>();
  auto tensor = copy_of(object.Get("data"), integers_from(object.Get("shape"), what + ".shape"), what);
  const auto dtype = dtype_from(text_at(object, "dtype"));
  return dtype == tensor.scalar_type() ? tensor : tensor.to(dtype);
}

at::Tensor host_form(const at::Tensor& value) {
  auto host = value.to(at::kCPU);
  if (host.scalar_type() == at::kBFloat16) host = host.to(at::kFloat);
  if (host.scalar_type() == at::kBool) host = host.to(at::kByte);
  // The caller owns what it gets: never the memory of a parameter or a constant.
  return host.is_contiguous() && !host.is_alias_of(value) ? host : host.clone(at::MemoryFormat::Contiguous);
}

Napi::Object tensor_to(Napi::Env env, const at::Tensor& value) {
  const auto bytes = value.numel() * value.element_size();
  // The array buffer owns the tensor: no copy.
  auto* keep = new at::Tensor(value);
  auto buffer = bytes > 0
                    ? Napi::ArrayBuffer::New(
                          env, keep->data_ptr(), bytes, [](Napi::Env, void*, at::Tensor* kept) { delete kept; }, keep)
                    : (delete keep, Napi::ArrayBuffer::New(env, 0));
  const size_t count = value.numel();
  Napi::Value data;
  switch (value.scalar_type()) {
    case at::kFloat: data = Napi::Float32Array::New(env, count, buffer, 0); break;
    case at::kDouble: data = Napi::Float64Array::New(env, count, buffer, 0); break;
    case at::kLong: data = Napi::BigInt64Array::New(env, count, buffer, 0); break;
    case at::kInt: data = Napi::Int32Array::New(env, count, buffer, 0); break;
    default: data = Napi::Uint8Array::New(env, count, buffer, 0); break;
  }
  auto shape = Napi::Array::New(env, value.dim());
  for (int64_t i = 0; i < value.dim(); i++) shape.Set(static_cast<uint32_t>(i), Napi::Number::New(env, value.size(i)));
  auto result = Napi::Object::New(env);
  result.Set("data", data);
  result.Set("shape", shape);
  result.Set("dtype", Napi::String::New(env, dtype_name(value.scalar_type())));
  return result;
}

Graph graph_from(const Napi::Object& spec) {
  Graph graph;
  auto nodes = spec.Get("nodes").As<Napi::Array>();
  for (uint32_t i = 0; i < nodes.Length(); i++) graph.nodes.push_back(node_from(nodes.Get(i).As<Napi::Object>(), i));
  auto names = spec.Get("names").As<Napi::Object>();
  auto keys = names.GetPropertyNames();
  for (uint32_t i = 0; i < keys.Length(); i++) {
    const auto key = keys.Get(i).As<Napi::String>().Utf8Value();
    graph.names[key] = names.Get(key).As<Napi::Number>().Int32Value();
  }
  graph.outputs = strings_from(spec.Get("outputs"));
  graph.bf16 = text_at(spec, "precision") == "bf16";
  graph.fuse = flag_at(spec, "fuse");
  graph.cuda_graph = flag_at(spec, "cudaGraph");
  auto train = spec.Get("train");
  if (!train.IsObject()) return graph;
  auto t = train.As<Napi::Object>();
  const auto loss = text_at(t, "loss");
  auto found = graph.names.find(loss);
  if (found == graph.names.end()) refuse("train.loss", "the name of an output, got '" + loss + "'");
  graph.loss = found->second;
  if (!graph.nodes[graph.loss].shape.empty()) refuse("train.loss", "a scalar output");
  graph.trained = strings_from(t.Get("parameters"));
  if (graph.trained.empty()) refuse("train.parameters", "at least one parameter to train");
  auto o = t.Get("optimizer").As<Napi::Object>();
  auto& s = graph.optimizer;
  auto optional = [&](const char* key, double& into) {
    if (o.Get(key).IsNumber()) into = number_at(o, key);
  };
  s.kind = text_at(o, "kind");
  optional("momentum", s.momentum), optional("weightDecay", s.weight_decay), optional("beta1", s.beta1),
      optional("beta2", s.beta2);
  optional("eps", s.eps), optional("alpha", s.alpha);
  s.nesterov = flag_at(o, "nesterov");
  s.eps_inside_sqrt = flag_at(o, "epsInsideSqrt");
  return graph;
}

}  // namespace mnv2
