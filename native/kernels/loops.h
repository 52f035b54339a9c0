// How the CPU kernels run: the parallel loop they are handed and the instruction-set clones.
// Free of torch and of N-API; knows nothing of any one operation.
#pragma once

#include <functional>

#include "kernels/element.h"

// One source loop, three machine codes, chosen when the library loads. Needs GCC and an ELF
// loader with ifunc; everywhere else the loop is compiled once for the build's own target.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#if __GNUC__ >= 12
#define MNV2_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MNV2_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define MNV2_CLONES
#endif

namespace mnv2 {

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
// The levels of x86-64 that the loops with a machine code of their own ask for.
inline bool has_x86_v3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}
inline bool has_x86_v4() {
  return has_x86_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
}
#endif

// Runs body(begin, end) over a partition of [0, n), on as many threads as the caller likes:
// at::parallel_for(0, n, 1, body) in the addon. No kernel's result depends on the partition.
using Parallel = std::function<void(int64_t n, const std::function<void(int64_t begin, int64_t end)>& body)>;

}  // namespace mnv2
