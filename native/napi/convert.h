// Checked conversion between JavaScript values and tensors and graphs. No classes, no state.
#pragma once
#include <ATen/core/Tensor.h>
#include <napi.h>

#include "graph/dtype.h"
#include "graph/graph.h"

namespace mnv2 {

at::ScalarType dtype_from(const Napi::Value& value, const std::string& what);

/** {data, shape, dtype} -> a tensor of its own. */
at::Tensor tensor_from(const Napi::Value& value, const std::string& what);
/** A typed array as a tensor of its own, of this shape. */
at::Tensor tensor_from(const Napi::Value& data, const std::vector<int64_t>& shape, at::ScalarType dtype,
                       const std::string& what);
/** A CPU tensor -> {data, shape, dtype}, in the form `host_form` gives it. */
Napi::Object tensor_to(Napi::Env env, const at::Tensor& value);
/** Moves a result to the CPU: bfloat16 widens to float32, bool becomes uint8. Engine thread. */
at::Tensor host_form(const at::Tensor& value);

Graph graph_from(const Napi::Value& spec);

}  // namespace mnv2
