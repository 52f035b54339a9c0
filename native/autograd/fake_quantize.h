// Fake quantisation as a differentiable op, and its counterpart for stored whole numbers. Owns autograd; the arithmetic
// on the CPU is kernels/fake_quantize.
#pragma once
#include <ATen/core/Tensor.h>

namespace mnv2 {

/** What is rounded to: whole numbers low .. high, and the dimension that has a scale an index, -1 for one scale. */
struct QuantizedTo {
  double low, high;
  int64_t axis;
};

/**
 * (clamp(roundHalfEven(x / scale) + zero, low, high) - zero) * scale, in x's type. Gradients: x's passes inside of the
 * range; scale's is LSQ's with its factor 1 / sqrt(N * high), N the values that share a scale; zero has none.
 */
at::Tensor fake_quantize(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& zero, const QuantizedTo& to);

/** q * scale in scale's type. */
at::Tensor dequantize(const at::Tensor& q, const at::Tensor& scale, int64_t axis);

}  // namespace mnv2
