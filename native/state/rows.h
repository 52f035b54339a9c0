// RowStore: rows of one shape on a device, gathered and written by index: labels, cached features.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace mnv2 {

struct RowStore {
  RowStore(int64_t rows, std::vector<int64_t> shape, at::ScalarType dtype, at::Device device);
  at::Tensor values;  // [rows, ...shape]; 4-D ones are channels_last

  void set(const at::Tensor& all);
  at::Tensor gather(const at::Tensor& index) const;
  void scatter(const at::Tensor& index, const at::Tensor& from);
};

}  // namespace mnv2
