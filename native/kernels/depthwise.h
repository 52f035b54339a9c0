// Depthwise 3x3 convolution on channels-last tensors, forward and backward, with explicit
// asymmetric padding (TensorFlow's "SAME" needs no pad op). Owns the arithmetic only.
//
//   y[n, c, oh, ow] = sum over kh, kw of x[n, c, oh*stride - top + kh, ow*stride - left + kw] * w[c, 0, kh, kw]
//
// x, dx: channels-last [N, C, H, W]; y, dy: channels-last [N, C, outH, outW]; w, dw: [C, 1, 3, 3],
// for which contiguous and channels-last are the same memory. T = float or bfloat16; arithmetic
// in float, weight gradients summed in double. No two arguments may overlap. Results do not
// depend on the number of threads.
//
//   mnv2::DepthwiseShape s{N, C, H, W, /*stride*/ 2, /*top*/ 0, /*left*/ 0, /*bottom*/ 1, /*right*/ 1};
//   at::Tensor y = at::empty({N, C, s.out_h(), s.out_w()}, x.options().memory_format(ChannelsLast));
//   mnv2::depthwise_forward<float>(x.data_ptr<float>(), w.data_ptr<float>(), s, y.data_ptr<float>(), parallel);
#pragma once

#include "kernels/loops.h"

namespace mnv2 {

// stride is 1 or 2; each pad is 0, 1 or 2; out_h() and out_w() must come out positive.
struct DepthwiseShape {
  int64_t N, C, H, W;
  int64_t stride;
  int64_t top, left, bottom, right;

  int64_t out_h() const { return (H + top + bottom - 3) / stride + 1; }
  int64_t out_w() const { return (W + left + right - 3) / stride + 1; }
  bool valid() const {
    const auto pad_ok = [](int64_t p) { return p >= 0 && p <= 2; };
    return N > 0 && C > 0 && H > 0 && W > 0 && (stride == 1 || stride == 2) && pad_ok(top) && pad_ok(left) &&
           pad_ok(bottom) && pad_ok(right) && H + top + bottom >= 3 && W + left + right >= 3;
  }
};

// Writes y. Throws std::invalid_argument if the shape is not valid().
template <class T>
void depthwise_forward(const T* x, const T* w, const DepthwiseShape& shape, T* y, const Parallel& parallel);

// Writes dx and dw; either may be null and is then not computed (x is only read for dw).
template <class T>
void depthwise_backward(const T* dy, const T* x, const T* w, const DepthwiseShape& shape, T* dx, T* dw,
                        const Parallel& parallel);

}  // namespace mnv2
