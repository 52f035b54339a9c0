// Rounding to steps of a scale, half to even, one number at a time, so that a compiler can do many at once.
#pragma once

#include "kernels/element.h"

namespace mnv2 {

// round(v) + zero within 0 .. 255; a NaN becomes 0. Near 2^23 floats are whole numbers: the sum rounds.
MNV2_INLINE int32_t byte_of(float v, int32_t zero) {
  v = v > -256.f ? v : -256.f;
  v = v < 256.f ? v : 256.f;
  v += 12582912.f;
  int32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  const int32_t q = bits - 0x4b400000 + zero;
  return q < 0 ? 0 : q > 255 ? 255 : q;
}

}  // namespace mnv2
