// See resample.h.
#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/loops.h"

namespace mnv2 {
namespace {

/** For each output position: where its source window starts, and its weights, as multiples of 2^-22. */
struct Filter {
  static constexpr int kBits = 22;
  int taps = 0;  // of every position: windows that need fewer have zeros, so that loops over them are easily predicted
  std::vector<int> start;
  std::vector<int32_t> weights;  // [output, taps]

  Filter(int from, int to) : start(to) {
    const double ratio = static_cast<double>(from) / to, support = std::max(ratio, 1.0);
    const auto window = [&](int i) {
      const double centre = (i + 0.5) * ratio;
      return std::pair(std::max(static_cast<int>(centre - support + 0.5), 0),
                       std::min(static_cast<int>(centre + support + 0.5), from));
    };
    for (int i = 0; i < to; i++) taps = std::max(taps, window(i).second - window(i).first);
    weights.assign(static_cast<size_t>(to) * taps, 0);
    std::vector<double> real(taps);
    for (int i = 0; i < to; i++) {
      const double centre = (i + 0.5) * ratio;
      const auto [first, end] = window(i);
      start[i] = std::min(first, from - taps);
      double sum = 0;
      for (int k = first; k < end; k++)
        sum += real[k - first] = std::max(1 - std::fabs((k + 0.5 - centre) / support), 0.0);
      int32_t* w = weights.data() + static_cast<size_t>(i) * taps - start[i];
      for (int k = first; k < end; k++) w[k] = static_cast<int32_t>(0.5 + real[k - first] / sum * (1 << kBits));
    }
  }
};

inline uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> Filter::kBits, 0, 255)); }
constexpr int32_t kHalf = 1 << (Filter::kBits - 1);

using Four = int32_t __attribute__((vector_size(16), aligned(4), may_alias));

/** Whole rows become integers and bytes again in vector loops; in between a pixel and the number after it are one
 * vector. */
MNV2_CLONES void resample_across(const uint8_t* in, int height, int width, const Filter& f, uint8_t* out, int to) {
  // Local pointers: bytes may alias anything, and f's own would be read again after every store.
  const int32_t* const weights = f.weights.data();
  const int* const start = f.start.data();
  const int taps = f.taps;
  const int64_t from_row = static_cast<int64_t>(width) * 3, to_row = static_cast<int64_t>(to) * 3;
  std::vector<int32_t> wide(from_row + 1), sums(to_row + 1);
  for (int y = 0; y < height; y++, in += from_row, out += to_row) {
    for (int64_t i = 0; i < from_row; i++) wide[i] = in[i];
    const int32_t* w = weights;
    for (int x = 0; x < to; x++) {
      const int32_t* p = wide.data() + static_cast<int64_t>(start[x]) * 3;
      Four sum = {kHalf, kHalf, kHalf, kHalf};
      for (int k = 0; k < taps; k++, p += 3) sum += *reinterpret_cast<const Four*>(p) * *w++;
      *reinterpret_cast<Four*>(&sums[static_cast<int64_t>(x) * 3]) = sum;
    }
    for (int64_t i = 0; i < to_row; i++) out[i] = to_byte(sums[i]);
  }
}

MNV2_CLONES void resample_down(const uint8_t* in, int64_t row, const Filter& f, uint8_t* out, int to) {
  std::vector<int32_t> sums(row);
  for (int y = 0; y < to; y++, out += row) {
    std::fill(sums.begin(), sums.end(), kHalf);
    for (int k = 0; k < f.taps; k++) {
      const int32_t w = f.weights[static_cast<size_t>(y) * f.taps + k];
      const uint8_t* p = in + (f.start[y] + k) * row;
      for (int64_t x = 0; x < row; x++) sums[x] += p[x] * w;
    }
    for (int64_t x = 0; x < row; x++) out[x] = to_byte(sums[x]);
  }
}

}  // namespace

void resample_rgb(const uint8_t* in, int height, int width, uint8_t* out, int size) {
  // A direction that keeps its length is left alone.
  std::vector<uint8_t> narrowed;
  if (width != size) {
    uint8_t* to = out;
    if (height != size) {
      narrowed.resize(static_cast<size_t>(height) * size * 3);
      to = narrowed.data();
    }
    resample_across(in, height, width, Filter(width, size), to, size);
    in = to;
  }
  if (height != size) {
    resample_down(in, static_cast<int64_t>(size) * 3, Filter(height, size), out, size);
  } else if (width == size) {
    std::memcpy(out, in, static_cast<size_t>(size) * size * 3);
  }
}

}  // namespace mnv2
