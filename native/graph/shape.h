// Shapes as the graph declares them, -1 where a size is known at run time only.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace mnv2 {

/** As messages show it: [None, 3, 224, 224]. */
inline std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); i++)
    text += (i ? ", " : "") + (shape[i] == -1 ? "None" : std::to_string(shape[i]));
  return text + "]";
}

/** Whether a tensor of shape `came` is one the graph declares as `expected`. */
inline bool fits(at::IntArrayRef came, const std::vector<int64_t>& expected) {
  if (came.size() != expected.size()) return false;
  for (size_t i = 0; i < expected.size(); i++) {
    if (expected[i] != -1 && came[i] != expected[i]) return false;
  }
  return true;
}

}  // namespace mnv2
