// TensorFlow's "SAME" padding at stride 2: one pixel more below and right than above and left.
#pragma once
#include <ATen/ATen.h>

#include <vector>

namespace mnv2 {

/**
 * Whether pads [top, bottom, left, right] can be evened out by `shifted_filter`: with pads of [bottom, right] on both
 * sides it computes the same sums, and spares a padded copy of the whole feature map.
 */
inline bool shifts_into_filter(const std::vector<int64_t>& pads, const std::vector<int64_t>& dilation) {
  return pads[1] == pads[0] + 1 && pads[3] == pads[2] + 1 && dilation[0] == 1 && dilation[1] == 1;
}

/** The filter with a leading row and column of zeros. */
inline at::Tensor shifted_filter(const at::Tensor& weight) { return at::constant_pad_nd(weight, {1, 0, 1, 0}, 0); }

}  // namespace mnv2
