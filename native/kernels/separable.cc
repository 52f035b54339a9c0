// See separable.h for what is computed.
//
// Inside a block the wide tensors are blocked by channels: [block][row][column][lane], kLanes channels a block, the
// spare lanes of the last one zero. Rows and columns of padding are part of `wide`, so that the depthwise convolution
// has no borders.
//
// How a block is cut is block_cut.h's business.
#include "kernels/separable.h"

#include <algorithm>
#include <cstring>

namespace mnv2 {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kPartOfSum = 128;    // products of a sum whose weights are kept in the L1 cache
constexpr int64_t kCache = 640 << 10;  // bytes of one core's L2 that a depthwise output may take

// m pixels x one panel: y = clamp(a * b + bias) + add. Products: k_blocks x k of them, a's blocks k_stride apart.
struct DenseTiles {
  const float* a;
  int64_t pixel, m, k_blocks, k, k_stride;
  const float *b, *bias;
  int64_t blocks;
  float lo, hi;
  const float* add;
  float* y;
  int64_t y_pixel, y_block;
};

// One row of one block of a depthwise convolution.
struct Window {
  const float* rows[3];
  const float* taps;
  int64_t columns, stride;
  float lo, hi;
  float* y;
};

struct Isa {
  void (*dense)(const DenseTiles&);
  void (*depthwise)(const Window&);
};

}  // namespace

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define MNV2_LANES 16
#define MNV2_PIXELS 8
#define MNV2_VECTORS 3
namespace avx512 {
namespace {
#include "kernels/separable_isa.h"
}
}  // namespace avx512
#undef MNV2_LANES
#undef MNV2_PIXELS
#undef MNV2_VECTORS
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define MNV2_LANES 8
#define MNV2_PIXELS 5
#define MNV2_VECTORS 2
namespace avx2 {
namespace {
#include "kernels/separable_isa.h"
}
}  // namespace avx2
#undef MNV2_LANES
#undef MNV2_PIXELS
#undef MNV2_VECTORS
#pragma GCC pop_options
#endif

#define MNV2_LANES 4
#if defined(__aarch64__)
#define MNV2_PIXELS 7
#define MNV2_VECTORS 3
#else
#define MNV2_PIXELS 4
#define MNV2_VECTORS 2
#endif
namespace portable {
namespace {
#include "kernels/separable_isa.h"
}
}  // namespace portable

namespace {

const Isa& best() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  static const Isa& found = has_x86_v4() ? avx512::isa : has_x86_v3() ? avx2::isa : portable::isa;
  return found;
#else
  return portable::isa;
#endif
}

template <class T>
MNV2_CLONES void widen_all(const T* __restrict from, int64_t count, float* __restrict to) {
  for (int64_t i = 0; i < count; i++) to[i] = widen(from[i]);
}

// C planes of [pixel] to [pixel][C]; three, as of a picture, in one pass.
template <class T>
MNV2_CLONES void interleave(const T* __restrict from, int64_t plane, int64_t count, int64_t C, float* __restrict to) {
  if (C == 3) {
    for (int64_t i = 0; i < count; i++) {
      to[3 * i] = widen(from[i]);
      to[3 * i + 1] = widen(from[plane + i]);
      to[3 * i + 2] = widen(from[2 * plane + i]);
    }
    return;
  }
  for (int64_t c = 0; c < C; c++)
    for (int64_t i = 0; i < count; i++) to[i * C + c] = widen(from[c * plane + i]);
}

// `lanes` channels of [pixel][C] to [pixel][lane], the spare lanes zero.
template <class T>
MNV2_CLONES void take_block(const T* __restrict from, int64_t count, int64_t C, int64_t lanes, float* __restrict to) {
  if (lanes == kLanes) {
    for (int64_t j = 0; j < count; j++)
      for (int64_t l = 0; l < kLanes; l++) to[j * kLanes + l] = widen(from[j * C + l]);
  } else {
    for (int64_t j = 0; j < count; j++)
      for (int64_t l = 0; l < kLanes; l++) to[j * kLanes + l] = l < lanes ? widen(from[j * C + l]) : 0.f;
  }
}

// [pixel][width] floats to channels `lanes` of [pixel][C], adding the residual.
template <class T>
MNV2_CLONES void put(const float* __restrict from, int64_t width, int64_t count, int64_t lanes, int64_t C,
                     const T* __restrict add, T* __restrict to) {
  for (int64_t j = 0; j < count; j++)
    for (int64_t l = 0; l < lanes; l++)
      to[j * C + l] = narrow<T>(from[j * width + l] + (add ? widen(add[j * C + l]) : 0.f));
}

}  // namespace

SeparableBlock::Dense SeparableBlock::pack(const FoldedConv& conv, int64_t k) {
  Dense d;
  d.conv = conv;
  d.conv.weight = d.conv.bias = nullptr;
  d.k = k;
  const int64_t blocks = up(conv.out, kLanes), area = conv.size * conv.size;
  d.panels = cut_panels(blocks, kLanes * k);
  d.weights.assign(blocks * kLanes * k, 0.f);
  d.bias.assign(blocks * kLanes, 0.f);
  if (conv.bias) std::copy(conv.bias, conv.bias + conv.out, d.bias.begin());
  for (const auto& p : d.panels) {
    const int64_t width = p.blocks * kLanes;
    for (int64_t c = 0; c < width && p.block * kLanes + c < conv.out; c++) {
      const float* from = conv.weight + (p.block * kLanes + c) * conv.in * area;
      for (int64_t i = 0; i < conv.in; i++)
        for (int64_t tap = 0; tap < area; tap++)
          d.weights[p.weights + (tap * conv.in + i) * width + c] = from[i * area + tap];
    }
  }
  return d;
}

SeparableBlock::SeparableBlock(const FoldedConv* dense, const FoldedConv* depthwise, const FoldedConv& pointwise)
    : has_dense_(dense), has_depthwise_(depthwise) {
  check_block("SeparableBlock", dense, depthwise, pointwise);
  if (depthwise) {
    const auto& d = *depthwise;
    depthwise_ = d;
    depthwise_.weight = depthwise_.bias = nullptr;
    mid_blocks_ = up(d.out, kLanes);
    taps_.assign(mid_blocks_ * 10 * kLanes, 0.f);
    for (int64_t c = 0; c < d.out; c++) {
      float* to = taps_.data() + c / kLanes * 10 * kLanes + c % kLanes;
      for (int64_t tap = 0; tap < 9; tap++) to[tap * kLanes] = d.weight[c * 9 + tap];
      if (d.bias) to[9 * kLanes] = d.bias[c];
    }
  }
  if (dense) {
    dense_ = pack(*dense, dense->size * dense->size * dense->in);
  } else if (depthwise) {
    dense_.panels = cut_panels(mid_blocks_, 0);
  }
  // After a depthwise convolution the products are counted in whole blocks.
  FoldedConv p = pointwise;
  std::vector<float> padded;
  if (depthwise && p.in % kLanes) {
    padded.assign(p.out * mid_blocks_ * kLanes, 0.f);
    for (int64_t o = 0; o < p.out; o++)
      std::copy(p.weight + o * p.in, p.weight + (o + 1) * p.in, padded.begin() + o * mid_blocks_ * kLanes);
    p.weight = padded.data();
    p.in = mid_blocks_ * kLanes;
  }
  pointwise_ = pack(p, p.in);
}

bool SeparableBlock::takes_planar() const { return has_dense_ && reads_windows(dense_.conv); }

SeparableBlock::Size SeparableBlock::out(Size in) const {
  if (has_dense_) in = convolved(in, dense_.conv);
  return has_depthwise_ ? convolved(in, depthwise_) : in;
}

// One call of SeparableBlock::run. Rows of `wide` are rows of the depthwise convolution's input, columns of padding
// included; -2 is two rows above the image.
template <class T>
struct SeparableRun : BlockCut<SeparableRun<T>, float> {
  using Size = SeparableBlock::Size;
  using Base = BlockCut<SeparableRun<T>, float>;
  using Base::memory;

  const SeparableBlock& b;
  const Isa& isa = best();
  const Size in, out;
  const T *x, *residual;
  T* y;
  const bool planar;
  const int64_t in_channels, out_channels;
  const Size wide;
  const int64_t row;  // floats of a wide row of one block

  SeparableRun(const SeparableBlock& block, Size size, const T* x, const T* residual, T* y, bool planar)
      : Base(cut_of(block, size)),
        b(block),
        in(size),
        out(block.out(size)),
        x(x),
        residual(residual),
        y(y),
        planar(planar),
        in_channels(b.has_dense_       ? b.dense_.conv.in
                    : b.has_depthwise_ ? b.depthwise_.in
                                       : b.pointwise_.conv.in),
        out_channels(b.pointwise_.conv.out),
        wide(wide_of(block, size)),
        row(row_of(block, wide)) {}

  static Size wide_of(const SeparableBlock& b, Size in) { return b.has_dense_ ? convolved(in, b.dense_.conv) : in; }
  static int64_t row_of(const SeparableBlock& b, Size wide) {
    return (wide.W + b.depthwise_.left + b.depthwise_.right) * kLanes;
  }
  static typename Base::Cut cut_of(const SeparableBlock& b, Size in) {
    const Size out = b.out(in), wide = wide_of(b, in);
    return {b.dense_.panels, b.mid_blocks_, b.depthwise_.stride, b.depthwise_.top, out.H,
            out.W,           wide.H,        row_of(b, wide),     out.W * kLanes,   kCache};
  }

  // Input rows with their padding, for the dense convolution's wide rows from `begin` on.
  struct Staged {
    const float* a;
    int64_t row, begin;
  };
  Staged stage(int64_t n, int64_t begin, int64_t end) const {
    if (!b.has_dense_ || begin >= end) return {};
    const auto& c = b.dense_.conv;
    const T* image = x + n * in.H * in.W * in_channels;
    if (!b.takes_planar()) {
      const int64_t row = in.W * in_channels;
      image += begin * row;
      if (sizeof(T) == sizeof(float)) return {reinterpret_cast<const float*>(image), row, begin};
      float* const to = memory().staged.take((end - begin) * row);
      widen_all(image, (end - begin) * row, to);
      return {to, row, begin};
    }
    const int64_t row = (in.W + c.left + c.right) * in_channels, first = begin * c.stride - c.top,
                  rows = (end - 1 - begin) * c.stride + c.size;
    float* const to = memory().staged.take(rows * row);
    for (int64_t r = 0; r < rows; r++) {
      const int64_t h = first + r;
      float* const at = to + r * row;
      if (h < 0 || h >= in.H) {
        std::fill(at, at + row, 0.f);
        continue;
      }
      float* const pixels = at + c.left * in_channels;
      std::fill(at, pixels, 0.f);
      if (planar) {
        interleave(image + h * in.W, in.H * in.W, in.W, in_channels, pixels);
      } else {
        widen_all(image + h * in.W * in_channels, in.W * in_channels, pixels);
      }
      std::fill(at + row - c.right * in_channels, at + row, 0.f);
    }
    return {to, row, begin};
  }

  // One panel of wide row h to `to`, blocks `stride` floats apart.
  void widen_row(int64_t n, int64_t h, const Staged& staged, const BlockPanel& panel, float* to, int64_t stride) const {
    const bool inside = h >= 0 && h < wide.H;
    const int64_t left = b.depthwise_.left * kLanes, right = b.depthwise_.right * kLanes;
    for (int64_t i = 0; i < panel.blocks; i++) {
      float* at = to + i * stride;
      std::fill(at, inside ? at + left : at + row, 0.f);
      std::fill(at + row - right, at + row, 0.f);
      if (inside && !b.has_dense_) {
        const int64_t c = (panel.block + i) * kLanes;
        take_block(x + (n * in.H + h) * in.W * in_channels + c, in.W, in_channels, std::min(kLanes, in_channels - c),
                   at + left);
      }
    }
    if (!inside || !b.has_dense_) return;
    const auto& d = b.dense_;
    const auto& c = d.conv;
    const float* a = staged.a + (h - staged.begin) * c.stride * staged.row;
    isa.dense({a, c.stride * in_channels, wide.W, c.size, c.size * in_channels, staged.row,
               d.weights.data() + panel.weights, d.bias.data() + panel.block * kLanes, panel.blocks, c.lo, c.hi,
               nullptr, to + left, kLanes, stride});
  }

  void depthwise_row(int64_t block, const float* const rows[3], float* to) const {
    const auto& d = b.depthwise_;
    isa.depthwise({{rows[0], rows[1], rows[2]}, b.taps_.data() + block * 10 * kLanes, out.W, d.stride, d.lo, d.hi, to});
  }

  int64_t panels() const { return static_cast<int64_t>(b.pointwise_.panels.size()); }

  // Pixels [m0, m1) of `a` through panels [p0, p1) to y's pixels from `first` + m0 on.
  void pointwise(const float* a, int64_t pixel, int64_t k_blocks, int64_t k, int64_t k_stride, int64_t m0, int64_t m1,
                 int64_t first, int64_t p0, int64_t p1) const {
    const auto& d = b.pointwise_;
    for (int64_t p = p0; p < p1; p++) {
      const auto& panel = d.panels[p];
      const int64_t channel = panel.block * kLanes, width = panel.blocks * kLanes,
                    lanes = std::min(width, out_channels - channel);
      DenseTiles t{a + m0 * pixel,
                   pixel,
                   m1 - m0,
                   k_blocks,
                   k,
                   k_stride,
                   d.weights.data() + panel.weights,
                   d.bias.data() + channel,
                   panel.blocks,
                   d.conv.lo,
                   d.conv.hi,
                   nullptr,
                   nullptr,
                   out_channels,
                   kLanes};
      const int64_t to = (first + m0) * out_channels + channel;
      if (sizeof(T) == sizeof(float) && lanes == width) {
        t.add = residual ? reinterpret_cast<const float*>(residual + to) : nullptr;
        t.y = reinterpret_cast<float*>(y + to);
        isa.dense(t);
        continue;
      }
      constexpr int64_t kAtOnce = 64;
      alignas(64) float floats[kAtOnce * kPanel * kLanes];
      t.y = floats;
      t.y_pixel = width;
      for (int64_t m = m0; m < m1; m += kAtOnce) {
        t.a = a + m * pixel;
        t.m = std::min(kAtOnce, m1 - m);
        isa.dense(t);
        const int64_t at = (first + m) * out_channels + channel;
        put(floats, width, t.m, lanes, out_channels, residual ? residual + at : nullptr, y + at);
      }
    }
  }

  void project(const float* mid, int64_t n, int64_t r, int64_t count) const {
    const int64_t pixels = count * out.W;
    pointwise(mid, kLanes, b.mid_blocks_, kLanes, pixels * kLanes, 0, pixels, (n * out.H + r) * out.W, 0, panels());
  }
  void project_shared(const float* mid, int64_t n, int threads, const Parallel& parallel) const {
    const int64_t pixels = out.H * out.W;
    products(mid, kLanes, b.mid_blocks_, kLanes, pixels * kLanes, pixels, n * pixels, threads, parallel);
  }

  // The pointwise convolution of `count` pixels on all threads, each with its own panels where there are enough.
  void products(const float* a, int64_t pixel, int64_t k_blocks, int64_t k, int64_t k_stride, int64_t count,
                int64_t first, int threads, const Parallel& parallel) const {
    const int64_t cuts = std::min((count + 7) / 8, (2 * threads - 1) / panels() + 1);
    parallel(panels() * cuts, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t p = i / cuts, c = i % cuts;
        pointwise(a, pixel, k_blocks, k, k_stride, count * c / cuts, count * (c + 1) / cuts, first, p, p + 1);
      }
    });
  }

  void run(int64_t N, int threads, const Parallel& parallel) const {
    if (!b.has_depthwise_) {
      const int64_t pixels = N * in.H * in.W;
      const float* a = reinterpret_cast<const float*>(x);
      if (sizeof(T) != sizeof(float)) {
        float* const to = memory().staged.take(pixels * in_channels);
        parallel(pixels, [&](int64_t begin, int64_t end) {
          widen_all(x + begin * in_channels, (end - begin) * in_channels, to + begin * in_channels);
        });
        a = to;
      }
      return products(a, in_channels, 1, in_channels, 0, pixels, 0, threads, parallel);
    }
    this->images(N, threads, parallel);
  }
};

template <class T>
void SeparableBlock::run(const T* x, bool planar, const T* residual, int64_t N, Size size, T* y, int threads,
                         const Parallel& parallel) const {
  SeparableRun<T>(*this, size, x, residual, y, planar && takes_planar()).run(N, threads, parallel);
}
template void SeparableBlock::run<float>(const float*, bool, const float*, int64_t, Size, float*, int,
                                         const Parallel&) const;
template void SeparableBlock::run<bfloat16>(const bfloat16*, bool, const bfloat16*, int64_t, Size, bfloat16*, int,
                                            const Parallel&) const;

}  // namespace mnv2
