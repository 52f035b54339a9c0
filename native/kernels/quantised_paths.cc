// The int8 kernels' inner loops for every kind of CPU, and which of them this one takes.
#include "kernels/quantised_paths.h"

#include <cstring>
#include <stdexcept>

#include "kernels/quantised_rounding.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define MNV2_X86 1
// GCC 12's own AVX-512 intrinsics begin from registers they leave unset on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define MNV2_HOT inline __attribute__((always_inline))

namespace mnv2 {

#ifdef MNV2_X86
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,avx512vnni,prefer-vector-width=512")
namespace avx512_vnni {
namespace {
#define MNV2_BITS 512
#define MNV2_DOT _mm512_dpbusd_epi32
#define MNV2_PIXELS 8
#define MNV2_VECTORS 3
#include "kernels/quantised_x86.h"
#include "kernels/quantised_isa.h"
constexpr QuantisedPath path{"avx512-vnni", kLanes, false, dense_tiles, depthwise_row, widen_groups};
#include "kernels/quantised_end.h"
}  // namespace
}  // namespace avx512_vnni
#pragma GCC pop_options

#if __GNUC__ >= 11
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3,avxvnni")
namespace avx_vnni {
namespace {
#define MNV2_BITS 256
#define MNV2_DOT _mm256_dpbusd_avx_epi32
#define MNV2_PIXELS 4
#define MNV2_VECTORS 3
#include "kernels/quantised_x86.h"
#include "kernels/quantised_isa.h"
constexpr QuantisedPath path{"avx-vnni", kLanes, false, dense_tiles, depthwise_row, widen_groups};
#include "kernels/quantised_end.h"
}  // namespace
}  // namespace avx_vnni
#pragma GCC pop_options
#endif

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
namespace avx2 {
namespace {
#define MNV2_BITS 256
#define MNV2_PIXELS 4
#define MNV2_VECTORS 2
#include "kernels/quantised_x86.h"
#include "kernels/quantised_isa.h"
constexpr QuantisedPath path{"avx2", kLanes, true, dense_tiles, depthwise_row, widen_groups};
#include "kernels/quantised_end.h"
}  // namespace
}  // namespace avx2
#pragma GCC pop_options

namespace sse2 {
namespace {
#define MNV2_BITS 128
#define MNV2_PIXELS 4
#define MNV2_VECTORS 2
#include "kernels/quantised_x86.h"
#include "kernels/quantised_isa.h"
constexpr QuantisedPath path{"sse2", kLanes, true, dense_tiles, depthwise_row, widen_groups};
#include "kernels/quantised_end.h"
}  // namespace
}  // namespace sse2
#endif

namespace plain {
namespace {
#define MNV2_PIXELS 4
#define MNV2_VECTORS 1
#include "kernels/quantised_plain.h"
#include "kernels/quantised_isa.h"
constexpr QuantisedPath path{"plain", kLanes, false, dense_tiles, depthwise_row, widen_groups};
#include "kernels/quantised_end.h"
}  // namespace
}  // namespace plain

namespace {

std::vector<const QuantisedPath*> available() {
  std::vector<const QuantisedPath*> found;
#ifdef MNV2_X86
  if (has_x86_v4() && __builtin_cpu_supports("avx512vnni")) found.push_back(&avx512_vnni::path);
#if __GNUC__ >= 11
  if (has_x86_v3() && __builtin_cpu_supports("avxvnni")) found.push_back(&avx_vnni::path);
#endif
  if (has_x86_v3()) found.push_back(&avx2::path);
  found.push_back(&sse2::path);
#endif
  found.push_back(&plain::path);
  return found;
}

}  // namespace

std::vector<std::string> quantised_paths() {
  std::vector<std::string> names;
  for (const auto* path : available()) names.push_back(path->name);
  return names;
}

const QuantisedPath& quantised_path(const char* name) {
  static const auto paths = available();
  if (!name) return *paths.front();
  for (const auto* path : paths)
    if (std::strcmp(path->name, name) == 0) return *path;
  throw std::invalid_argument(std::string("this CPU has no int8 path '") + name + "'");
}

void QuantisedPath::place(const int8_t four[4], int64_t lane, int8_t* at) const {
  if (!split) {
    std::memcpy(at + 4 * lane, four, 4);
    return;
  }
  const int16_t even[2] = {four[0], four[2]}, odd[2] = {four[1], four[3]};
  std::memcpy(at + 4 * lane, even, 4);
  std::memcpy(at + 4 * lanes + 4 * lane, odd, 4);
}

}  // namespace mnv2
