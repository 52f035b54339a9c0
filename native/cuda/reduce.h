// Second stages shared by the .cu files: from one partial result a block to one result a channel.
// The first stages live with the kernels that have the data.
#pragma once

#include "cuda/grid.h"

namespace mnv2::cuda {

// Count, mean and sum of squared deviations of some values of one channel.
struct Moments {
  float n, mean, m2;
};

// Chan et al.'s update: no cancellation, however large the mean.
MNV2_DEVICE Moments merge(const Moments& a, const Moments& b) {
  const float n = a.n + b.n;
  if (n == 0.f) return a;
  const float d = b.mean - a.mean, share = b.n / n;
  return {n, a.mean + d * share, a.m2 + b.m2 + d * d * a.n * share};
}

// V channels' sums relative to the first value seen: one add and one multiply-add a value.
template <int V>
struct Sums {
  float n = 0, shift[V] = {}, s1[V] = {}, s2[V] = {};
  MNV2_DEVICE void add(const float (&value)[V]) {
    if (n == 0.f)
      for (int v = 0; v < V; ++v) shift[v] = value[v];
    n += 1.f;
    for (int v = 0; v < V; ++v) {
      const float d = value[v] - shift[v];
      s1[v] += d;
      s2[v] += d * d;
    }
  }
  MNV2_DEVICE Moments moments(int v) const {
    if (n == 0.f) return {0.f, 0.f, 0.f};
    const float mean = s1[v] / n, m2 = s2[v] - s1[v] * mean;
    return {n, shift[v] + mean, m2 < 0.f ? 0.f : m2};
  }
};

// partial: [blocks, 3, C] of n, mean, m2.
void finish_moments(const float* partial, int64_t blocks, int64_t C, const Statistics& out, Stream stream);

// partial: [blocks, pitch], of which K * C values are summed over blocks. Sum k of channel c goes
// to out[c * c_stride + k * k_stride], times scale[c] where scale is given.
void finish_sums(const float* partial, int64_t blocks, int64_t pitch, int64_t K, int64_t C, const float* scale,
                 float* out, int64_t c_stride, int64_t k_stride, Stream stream);

}  // namespace mnv2::cuda
