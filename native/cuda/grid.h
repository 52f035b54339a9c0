// How the CUDA kernels are launched and how they move memory; under a plain C++ compiler the same
// names run on emulated_grid.h instead. Included by the .cu files only.
#pragma once

#include "cuda/kernels.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>

#define MNV2_DEVICE __device__ __forceinline__

namespace mnv2::cuda {

template <class T>
MNV2_DEVICE T* shared_memory() {
  extern __shared__ uint4 mnv2_shared[];
  return reinterpret_cast<T*>(mnv2_shared);
}

// Launch errors stay for the caller's cudaGetLastError().
template <class... Formal, class... Actual>
void launch(void (*kernel)(Formal...), dim3 grid, dim3 block, size_t shared_bytes, Stream stream, Actual... args) {
  kernel<<<grid, block, shared_bytes, stream>>>(args...);
}

}  // namespace mnv2::cuda
#else
#include "cuda/emulated_grid.h"

#define MNV2_DEVICE inline
#endif

namespace mnv2::cuda {

// The machine word that moves n bytes at once.
template <int n>
struct Word;
template <>
struct Word<2> {
  using type = uint16_t;
};
template <>
struct Word<4> {
  using type = uint32_t;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};

// V elements in one access. The pointer must be aligned to all of them.
template <int V, class T>
MNV2_DEVICE void load(const T* from, float (&to)[V]) {
  using W = typename Word<V * sizeof(T)>::type;
  const W word = *reinterpret_cast<const W*>(from);
  T element[V];
  memcpy(element, &word, sizeof word);
  for (int v = 0; v < V; ++v) to[v] = widen(element[v]);
}
template <int V, class T>
MNV2_DEVICE void store(const float (&from)[V], T* to) {
  using W = typename Word<V * sizeof(T)>::type;
  T element[V];
  for (int v = 0; v < V; ++v) element[v] = narrow<T>(from[v]);
  W word;
  memcpy(&word, element, sizeof word);
  *reinterpret_cast<W*>(to) = word;
}

// 16 bytes at a time where the channels and every pointer allow it, else one element.
template <class T>
constexpr int kVector = 16 / sizeof(T);
template <class T, class... Pointers>
bool vectorizable(int64_t C, Pointers... pointers) {
  return C % kVector<T> == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// Blocks in one launch: 8 for each of an H200's 132 multiprocessors. A constant, so that the
// order of sums, and with it every result, is the same on every card.
constexpr int64_t kBlocks = 1056;

}  // namespace mnv2::cuda
