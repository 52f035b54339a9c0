// One element at a time: float and bfloat16, and the activations with their gradients. The same
// code runs in the CPU kernels and, compiled by nvcc, in the CUDA ones. Free of torch.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#define MNV2_INLINE __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define MNV2_INLINE inline __attribute__((always_inline))
#else
#define MNV2_INLINE inline
#endif

namespace mnv2 {

// The bits of a bfloat16. Kernels are instantiated for float and bfloat16; arithmetic is float.
using bfloat16 = uint16_t;

enum class Act { none, relu, relu6 };

MNV2_INLINE float widen(float v) { return v; }
MNV2_INLINE float widen(bfloat16 v) {
  const uint32_t bits = static_cast<uint32_t>(v) << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

template <class T>
T narrow(float v);
template <>
MNV2_INLINE float narrow<float>(float v) {
  return v;
}
// Round to nearest, ties to even; a NaN stays one. Written without comparisons: GCC 12 otherwise
// threads the activation's branches through this one, at three times the cost.
template <>
MNV2_INLINE bfloat16 narrow<bfloat16>(float v) {
#if defined(__CUDA_ARCH__)
  return __bfloat16_as_ushort(__float2bfloat16_rn(v));
#else
  int32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  const int32_t number = ((bits & 0x7fffffff) - 0x7f800001) >> 31;  // all ones, unless v is a NaN
  const int32_t rounded = (bits + ((0x7fff + ((bits >> 16) & 1)) & number)) | (~number & 0x400000);
  return static_cast<bfloat16>(static_cast<uint32_t>(rounded) >> 16);
#endif
}

// Both comparisons are written so that a NaN passes through, as in torch.clamp.
template <Act A>
MNV2_INLINE float activate(float v) {
  if (A == Act::none) return v;
  v = v < 0.f ? 0.f : v;
  if (A == Act::relu6) v = v > 6.f ? 6.f : v;
  return v;
}

// The gradient that passes: where 0 < pre (< 6 for ReLU6), strictly, and through a NaN, as in
// torch's hardtanh_backward.
template <Act A>
MNV2_INLINE float activate_grad(float pre, float grad) {
  if (A == Act::none) return grad;
  if (A == Act::relu) return pre <= 0.f ? 0.f : grad;
  return (pre <= 0.f) | (pre >= 6.f) ? 0.f : grad;
}

}  // namespace mnv2
