// Checked conversion between JavaScript values and tensors, graphs and specs. No classes, no state.
#pragma once
#include <ATen/core/Tensor.h>
#include <napi.h>

#include "graph/dtype.h"
#include "graph/graph.h"

namespace mnv2 {

/** {data, shape, dtype} -> a tensor of its own. */
at::Tensor tensor_from(const Napi::Value& value, const std::string& what);
/** A CPU tensor -> {data, shape, dtype}; bfloat16 widens to float32, bool to Uint8Array. */
Napi::Object tensor_to(Napi::Env env, const at::Tensor& value);
/** Moves a result to the CPU in the form tensor_to wants. Engine thread. */
at::Tensor host_form(const at::Tensor& value);

std::vector<int64_t> integers_from(const Napi::Value& value, const std::string& what);
std::vector<std::string> strings_from(const Napi::Value& value);
Graph graph_from(const Napi::Object& spec);

/** obj[key], refused with its name when of another type. */
double number_at(const Napi::Object& object, const char* key);
bool flag_at(const Napi::Object& object, const char* key);
std::string text_at(const Napi::Object& object, const char* key);

}  // namespace mnv2
