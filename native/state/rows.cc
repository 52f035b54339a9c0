// See rows.h.
#include "state/rows.h"

#include <ATen/ATen.h>

#include "errors.h"
#include "graph/shape.h"

namespace mnv2 {

RowStore::RowStore(int64_t rows, std::vector<int64_t> shape, at::ScalarType dtype, at::Device device) {
  shape.insert(shape.begin(), rows);
  auto options = at::TensorOptions().dtype(dtype).device(device);
  values = shape.size() == 4 ? at::empty(shape, options, at::MemoryFormat::ChannelsLast) : at::empty(shape, options);
}

void RowStore::set(const at::Tensor& all) {
  if (all.sizes() != values.sizes()) {
    throw Failure("USAGE", "RowStore: expected values of shape " + shape_text(values.sizes()) + ", got " +
                               shape_text(all.sizes()));
  }
  values.copy_(all);
}

at::Tensor RowStore::gather(const at::Tensor& index) const {
  auto rows = values.index_select(0, index.to(values.device()));
  return rows.dim() == 4 ? rows.contiguous(at::MemoryFormat::ChannelsLast) : rows;
}

void RowStore::scatter(const at::Tensor& index, const at::Tensor& from) {
  values.index_copy_(0, index.to(values.device()), from.to(values.scalar_type()));
}

}  // namespace mnv2
