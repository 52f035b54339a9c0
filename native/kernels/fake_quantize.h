// Fake quantisation of float32: values rounded to a scale's steps and clamped to a range of whole numbers, and the
// gradients that learn them. Free of torch; test/graph/quantise.test.ts holds it to double precision.
#pragma once
#include <cstdint>

#include "kernels/loops.h"

namespace mnv2 {

/** x as [scales, each]: row s is quantised with scale[s] and zero[s] to the whole numbers low .. high. */
struct FakeQuantized {
  int64_t scales, each;
  const float *scale, *zero;
  float low, high;
};

/** y = (clamp(roundHalfEven(x / scale) + zero, low, high) - zero) * scale. */
void fake_quantize_forward(const float* x, const FakeQuantized& q, float* y, const Parallel& parallel);

/**
 * dx: dy inside of the range, 0 outside. dscale[scales]: the sum of dy times roundHalfEven(x / scale) - x / scale
 * inside, times the clamped step outside (Esser et al. 2020, equation 3). Either may be null.
 */
void fake_quantize_backward(const float* dy, const float* x, const FakeQuantized& q, float* dx, double* dscale,
                            const Parallel& parallel);

}  // namespace mnv2
