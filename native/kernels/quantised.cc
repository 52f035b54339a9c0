// See quantised.h for what is computed, quantised_paths.h for the layouts, block_cut.h for how a block is cut.
#include "kernels/quantised.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "kernels/quantised_paths.h"
#include "kernels/quantised_rounding.h"

namespace mnv2 {
namespace {

using To = QuantisedTiles::To;

constexpr int64_t kCache = 256 << 10;  // bytes of one core's L2 that a depthwise output may take
constexpr int64_t kGroupBytes = kGroup * kBlock;

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(std::string("QuantisedBlock: ") + what);
}

// What the zero of the input takes from the sum, added to the bias. Checks that nothing overflows.
int32_t bias_of(const QuantisedConv& conv, int64_t channel, int64_t products) {
  const int8_t* w = conv.weight + channel * products;
  int64_t sum = 0, most = 0;
  for (int64_t i = 0; i < products; i++) sum += w[i], most += std::abs(w[i]);
  const int64_t bias = (conv.bias ? conv.bias[channel] : 0) - conv.zero * sum;
  most = std::abs(bias) + 255 * most;
  require(most < int64_t{1} << 31, "a sum could leave int32");
  require(std::abs(static_cast<double>(conv.multiplier[channel])) * most < 2147483000.0,
          "a product could leave int32: scales are too far apart");
  return static_cast<int32_t>(bias);
}

MNV2_CLONES void round_all(const float* __restrict x, int64_t count, float scale, int32_t zero, uint8_t* __restrict y) {
  for (int64_t i = 0; i < count; i++) y[i] = static_cast<uint8_t>(byte_of(x[i] / scale, zero));
}
MNV2_CLONES void unround_all(const uint8_t* __restrict x, int64_t count, float scale, int32_t zero,
                             float* __restrict y) {
  for (int64_t i = 0; i < count; i++) y[i] = static_cast<float>(x[i] - zero) * scale;
}
// Three planes, as of a picture, to pixels of four bytes.
MNV2_CLONES void round_picture(const float* __restrict x, int64_t plane, int64_t count, float scale, int32_t zero,
                               uint8_t* __restrict y) {
  for (int64_t i = 0; i < count; i++) {
    const int32_t pixel = byte_of(x[i] / scale, zero) | byte_of(x[plane + i] / scale, zero) << 8 |
                          byte_of(x[2 * plane + i] / scale, zero) << 16;
    std::memcpy(y + 4 * i, &pixel, 4);
  }
}
MNV2_CLONES void add_all(uint8_t* __restrict y, const uint8_t* __restrict residual, int64_t count, int32_t y_zero,
                         float a, int32_t zero, float b, int32_t to) {
  for (int64_t i = 0; i < count; i++)
    y[i] = static_cast<uint8_t>(
        byte_of(static_cast<float>(y[i] - y_zero) * a + static_cast<float>(residual[i] - zero) * b, to));
}
MNV2_CLONES void sum_pixels(const uint8_t* __restrict x, int64_t pixels, int64_t C, int32_t* __restrict sum) {
  for (int64_t c = 0; c < C; c++) sum[c] = 0;
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < C; c++) sum[c] += x[p * C + c];
}

// To 16 bits: times a whole number of 8 bits a float holds it exactly.
float of_16_bits(float v) {
  int exponent;
  const float fraction = std::frexp(v, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, 16)), exponent - 16);
}

// conv's weights, [out, in, size, size], to [panel][row of the kernel][quad][channel][4]: a row has size x in4
// products, in4 the channels up to a multiple of four.
void place_weights(const QuantisedPath& path, const QuantisedConv& conv, int64_t quads, int64_t first, int64_t blocks,
                   int8_t* to) {
  const int64_t area = conv.size * conv.size, in4 = up(conv.in, 4), width = blocks * kBlock;
  for (int64_t c = 0; c < width && first + c < conv.out; c++) {
    const int8_t* from = conv.weight + (first + c) * conv.in * area;
    for (int64_t row = 0; row < conv.size; row++)
      for (int64_t q = 0; q < quads; q++) {
        const int64_t column = q / in4, channel = q % in4 * 4;
        int8_t four[4] = {};
        for (int64_t i = 0; column < conv.size && i < 4 && channel + i < conv.in; i++)
          four[i] = from[(channel + i) * area + row * conv.size + column];
        path.place(four, c % path.lanes,
                   to + ((row * quads + q) * (width / path.lanes) + c / path.lanes) * path.register_bytes());
      }
  }
}

}  // namespace

QuantisedBlock::Dense QuantisedBlock::pack(const QuantisedConv& conv, int64_t in) const {
  Dense d;
  d.conv = conv;
  d.conv.weight = nullptr, d.conv.bias = nullptr, d.conv.multiplier = nullptr;
  d.quads = conv.size * up(in, 4);
  const int64_t blocks = up(conv.out, kBlock),
                bytes = conv.size * d.quads * (kBlock / path_.lanes) * path_.register_bytes();
  d.panels = cut_panels(blocks, bytes);
  d.weights.assign(blocks * bytes, 0);
  d.bias.assign(blocks * kBlock, 0);
  d.multiplier.assign(blocks * kBlock, 0.f);
  for (int64_t c = 0; c < conv.out; c++) {
    d.bias[c] = bias_of(conv, c, conv.in * conv.size * conv.size);
    d.multiplier[c] = conv.multiplier[c];
  }
  for (const auto& p : d.panels)
    place_weights(path_, conv, d.quads, p.block * kBlock, p.blocks, d.weights.data() + p.weights);
  return d;
}

void QuantisedBlock::pack_taps(const QuantisedConv& conv) {
  const int64_t parts = 3 * kWindowParts, bytes = path_.register_bytes(), registers = kBlock / path_.lanes;
  taps_.assign(mid_blocks_ * registers * parts * bytes, 0);
  taps_bias_.assign(mid_blocks_ * kBlock, 0);
  taps_multiplier_.assign(mid_blocks_ * kBlock, 0.f);
  for (int64_t c = 0; c < conv.out; c++) {
    taps_bias_[c] = bias_of(conv, c, 9);
    taps_multiplier_[c] = conv.multiplier[c];
    int8_t* at = taps_.data() + c / path_.lanes * parts * bytes;
    for (int64_t row = 0; row < 3; row++)
      for (int64_t j = 0; j < kGroup; j++) {
        const int64_t start = window_start(conv.stride, conv.left, j);
        for (int64_t part = 0; part < window_parts(start); part++, at += bytes) {
          int8_t four[4] = {};
          for (int64_t tap = 0; tap < 3; tap++) {
            const int64_t column = start % kGroup + tap - part * kGroup;
            if (column >= 0 && column < kGroup) four[column] = conv.weight[c * 9 + row * 3 + tap];
          }
          path_.place(four, c % path_.lanes, at);
        }
      }
  }
}

QuantisedBlock::QuantisedBlock(const QuantisedConv* dense, const QuantisedConv* depthwise,
                               const QuantisedConv& pointwise, const QuantisedPath& path)
    : path_(path), has_dense_(dense), has_depthwise_(depthwise) {
  check_block("QuantisedBlock", dense, depthwise, pointwise);
  for (const auto* c : {dense, depthwise, &pointwise}) {
    if (!c) continue;
    for (int32_t q : {c->zero, c->out_zero, c->lo, c->hi}) require(q >= 0 && q <= 255, "bytes are 0 to 255");
  }
  if (depthwise) {
    const auto& d = *depthwise;
    mid_blocks_ = up(d.out, kBlock);
    pack_taps(d);
    depthwise_ = d;
    depthwise_.weight = nullptr, depthwise_.bias = nullptr, depthwise_.multiplier = nullptr;
  }
  if (dense) {
    dense_ = pack(*dense, dense->in);
  } else if (depthwise) {
    dense_.panels = cut_panels(mid_blocks_, 0);
  }
  // After a depthwise convolution the products are counted in whole blocks.
  pointwise_ = pack(pointwise, depthwise ? mid_blocks_ * kBlock : pointwise.in);
}

bool QuantisedBlock::takes_floats() const { return has_dense_ && reads_windows(dense_.conv); }

QuantisedBlock::Size QuantisedBlock::out(Size in) const {
  if (has_dense_) in = convolved(in, dense_.conv);
  return has_depthwise_ ? convolved(in, depthwise_) : in;
}

// One call of QuantisedBlock::run. Rows of wide begin with a group of padding, in front of the image's first column.
struct QuantisedRun : BlockCut<QuantisedRun, uint8_t> {
  using Size = QuantisedBlock::Size;

  struct Image {
    const uint8_t* bytes;
    const float* floats;  // where there are no bytes
    bool planar;
    float scale;
  };

  const QuantisedBlock& b;
  const QuantisedPath& path;
  const Size in, out;
  const Image x;
  const uint8_t* residual;
  QuantisedAdd add;
  uint8_t* y;
  const int64_t in_channels, out_channels;
  const Size wide;
  const int64_t groups;  // of a row of mid
  const int64_t row;     // bytes of a wide row of one block

  QuantisedRun(const QuantisedBlock& block, Size size, const Image& x, const uint8_t* residual, const QuantisedAdd* sum,
               uint8_t* y)
      : BlockCut(cut_of(block, size)),
        b(block),
        path(block.path_),
        in(size),
        out(block.out(size)),
        x(x),
        residual(residual),
        y(y),
        in_channels(b.has_dense_       ? b.dense_.conv.in
                    : b.has_depthwise_ ? b.depthwise_.in
                                       : b.pointwise_.conv.in),
        out_channels(b.pointwise_.conv.out),
        wide(wide_of(block, size)),
        groups(up(out.W, kGroup)),
        row(row_of(block, wide, groups)) {
    if (residual) add = {of_16_bits(sum->a), of_16_bits(sum->b), sum->zero, sum->to};
  }

  static Size wide_of(const QuantisedBlock& b, Size in) { return b.has_dense_ ? convolved(in, b.dense_.conv) : in; }
  static int64_t row_of(const QuantisedBlock& b, Size wide, int64_t groups) {
    const int64_t last = window_start(b.depthwise_.stride, b.depthwise_.left, kGroup * groups - 1) + 2;
    return std::max(last / kGroup + 1, 1 + up(wide.W, kGroup)) * kGroupBytes;
  }
  static Cut cut_of(const QuantisedBlock& b, Size in) {
    const Size out = b.out(in), wide = wide_of(b, in);
    const int64_t groups = up(out.W, kGroup);
    return {b.dense_.panels, b.mid_blocks_, b.depthwise_.stride,     b.depthwise_.top,     out.H,
            out.W,           wide.H,        row_of(b, wide, groups), groups * kGroupBytes, kCache};
  }

  // Input rows with their padding, for the dense convolution's wide rows from `begin` on; a pixel has `pixel` bytes.
  struct Staged {
    const uint8_t* a;
    int64_t row, pixel, begin;
  };
  Staged stage(int64_t n, int64_t begin, int64_t end) const {
    if (!b.has_dense_ || begin >= end) return {};
    const auto& c = b.dense_.conv;
    if (!b.takes_floats() && in_channels % 4 == 0) {
      const int64_t row = in.W * in_channels;
      return {x.bytes + (n * in.H + begin) * row, row, in_channels, begin};
    }
    const int64_t pixel = up(in_channels, 4) * 4, row = (in.W + c.left + c.right) * pixel,
                  first = begin * c.stride - c.top, rows = (end - 1 - begin) * c.stride + c.size;
    uint8_t* const to = memory().staged.take(rows * row);
    for (int64_t r = 0; r < rows; r++) {
      const int64_t h = first + r;
      uint8_t* const at = to + r * row;
      const bool inside = h >= 0 && h < in.H;
      uint8_t *const pixels = at + c.left * pixel, *const right = at + row - c.right * pixel;
      std::memset(at, c.zero, (inside ? pixels : at + row) - at);
      if (inside) stage_row(n, h, pixel, pixels);
      std::memset(right, c.zero, at + row - right);
    }
    return {to, row, pixel, begin};
  }

  void stage_row(int64_t n, int64_t h, int64_t pixel, uint8_t* to) const {
    const int64_t C = in_channels, pixels = in.W, plane = in.H * in.W;
    const int32_t zero = b.dense_.conv.zero;
    if (x.bytes) return pad_pixels(x.bytes + (n * in.H + h) * pixels * C, pixels, C, pixel, to);
    const float* from = x.floats + (x.planar ? n * C * plane + h * pixels : (n * in.H + h) * pixels * C);
    if (x.planar && C == 3) return round_picture(from, plane, pixels, x.scale, zero, to);
    const int64_t step = x.planar ? 1 : C, channel = x.planar ? plane : 1;
    for (int64_t i = 0; i < pixels; i++)
      for (int64_t c = 0; c < pixel; c++)
        to[i * pixel + c] =
            c < C ? static_cast<uint8_t>(byte_of(from[i * step + c * channel] / x.scale, zero)) : uint8_t{0};
  }

  static void pad_pixels(const uint8_t* from, int64_t count, int64_t C, int64_t pixel, uint8_t* to) {
    if (C == pixel) return void(std::memcpy(to, from, count * C));
    for (int64_t i = 0; i < count; i++)
      for (int64_t c = 0; c < pixel; c++) to[i * pixel + c] = c < C ? from[i * C + c] : 0;
  }

  // One panel of wide row h to `to`, blocks `stride` bytes apart.
  void widen_row(int64_t n, int64_t h, const Staged& staged, const BlockPanel& panel, uint8_t* to,
                 int64_t stride) const {
    const int64_t zero = b.depthwise_.zero, filled = (1 + up(wide.W, kGroup)) * kGroupBytes;
    const bool inside = h >= 0 && h < wide.H;
    for (int64_t i = 0; i < panel.blocks; i++) {
      uint8_t* const at = to + i * stride;
      std::memset(at, static_cast<int>(zero), inside ? kGroupBytes : row);
      if (!inside) continue;
      std::memset(at + filled, static_cast<int>(zero), row - filled);
      if (!b.has_dense_) copy_row(n, h, (panel.block + i) * kBlock, at + kGroupBytes);
    }
    if (!inside || !b.has_dense_) return;
    const auto& d = b.dense_;
    const auto& c = d.conv;
    path.dense({staged.a + (h - staged.begin) * c.stride * staged.row, c.stride * staged.pixel, wide.W, c.size, d.quads,
                staged.row, d.weights.data() + panel.weights, d.bias.data() + panel.block * kBlock,
                d.multiplier.data() + panel.block * kBlock, panel.blocks, c.out_zero, c.lo, c.hi, To::wide,
                to + kGroupBytes, stride, 0});
  }

  // A block of row h's channels from `channel` on to wide, columns behind the image padding.
  void copy_row(int64_t n, int64_t h, int64_t channel, uint8_t* to) const {
    const int64_t C = in_channels, lanes = std::min(kBlock, C - channel), whole = lanes == kBlock ? in.W / kGroup : 0;
    const uint8_t* from = x.bytes + (n * in.H + h) * in.W * C + channel;
    path.widen(from, whole, C, to);
    for (int64_t g = whole; g < up(in.W, kGroup); g++) {
      uint8_t part[kGroupBytes];
      std::memset(part, b.depthwise_.zero, kGroupBytes);
      for (int64_t w = g * kGroup; w < std::min((g + 1) * kGroup, in.W); w++)
        std::memcpy(part + w % kGroup * kBlock, from + w * C, lanes);
      path.widen(part, 1, kBlock, to + g * kGroupBytes);
    }
  }

  void depthwise_row(int64_t block, const uint8_t* const rows[3], uint8_t* to) const {
    const auto& d = b.depthwise_;
    path.depthwise({{rows[0], rows[1], rows[2]},
                    b.taps_.data() + block * (b.taps_.size() / b.mid_blocks_),
                    b.taps_bias_.data() + block * kBlock,
                    b.taps_multiplier_.data() + block * kBlock,
                    groups,
                    d.stride,
                    d.left,
                    d.out_zero,
                    d.lo,
                    d.hi,
                    to});
  }

  int64_t mid_row() const { return groups * kGroupBytes; }

  int64_t panels() const { return static_cast<int64_t>(b.pointwise_.panels.size()); }

  // `m` pixels of `a` through panel p to y's pixels from `first` on, and the residual.
  void pointwise(QuantisedTiles t, int64_t p, int64_t first) const {
    const auto& d = b.pointwise_;
    const auto& panel = d.panels[p];
    const int64_t channel = panel.block * kBlock, at = first * out_channels + channel;
    t.b = d.weights.data() + panel.weights;
    t.bias = d.bias.data() + channel;
    t.multiplier = d.multiplier.data() + channel;
    t.blocks = panel.blocks;
    t.zero = d.conv.out_zero, t.lo = d.conv.lo, t.hi = d.conv.hi;
    t.to = To::pixels;
    t.y = y + at;
    t.y_step = out_channels;
    t.lanes = std::min(panel.blocks * kBlock, out_channels - channel);
    path.dense(t);
    if (!residual) return;
    const bool whole = t.lanes == out_channels;  // pixels without a gap between them
    const int64_t parts = whole ? 1 : t.m, length = whole ? t.m * out_channels : t.lanes;
    for (int64_t i = 0; i < parts; i++)
      add_all(y + at + i * out_channels, residual + at + i * out_channels, length, t.zero, add.a, add.zero, add.b,
              add.to);
  }

  // Rows [r0, r1) of mid, which has `rows` from output row `row0` of image n on, through panels [p0, p1).
  void project(const uint8_t* mid, int64_t n, int64_t row0, int64_t rows, int64_t r0, int64_t r1, int64_t p0,
               int64_t p1) const {
    QuantisedTiles t{};
    t.k_blocks = b.mid_blocks_;
    t.quads = kBlock / 4;
    t.k_stride = rows * mid_row();
    // Rows of whole groups are one after the other.
    const int64_t together = out.W % kGroup == 0 ? r1 - r0 : 1;
    for (int64_t p = p0; p < p1; p++)
      for (int64_t r = r0; r < r1; r += together) {
        t.a = mid + r * mid_row();
        t.m = together * out.W;
        pointwise(t, p, (n * out.H + row0 + r) * out.W);
      }
  }

  void project(const uint8_t* mid, int64_t n, int64_t r, int64_t count) const {
    project(mid, n, r, count, 0, count, 0, panels());
  }
  void project_shared(const uint8_t* mid, int64_t n, int threads, const Parallel& parallel) const {
    const int64_t cuts = std::min(out.H, (2 * threads - 1) / panels() + 1);
    parallel(panels() * cuts, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t p = i / cuts, c = i % cuts;
        project(mid, n, 0, out.H, out.H * c / cuts, out.H * (c + 1) / cuts, p, p + 1);
      }
    });
  }

  // A pointwise convolution on its own: panels, and parts of the pixels where those are too few.
  void products(int64_t pixels, int threads, const Parallel& parallel) const {
    QuantisedTiles t{};
    t.pixel = up(in_channels, 4) * 4;
    t.k_blocks = 1;
    t.quads = b.pointwise_.quads;
    const uint8_t* a = x.bytes;
    if (t.pixel != in_channels) {
      uint8_t* const to = memory().staged.take(pixels * t.pixel);
      parallel(pixels, [&](int64_t begin, int64_t end) {
        pad_pixels(x.bytes + begin * in_channels, end - begin, in_channels, t.pixel, to + begin * t.pixel);
      });
      a = to;
    }
    const int64_t cuts = std::max<int64_t>(1, std::min(up(pixels, 64), int64_t{4} * threads));
    parallel(panels() * cuts, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t c = i / panels(), m0 = up(pixels * c / cuts, 8) * 8,
                      m1 = c + 1 == cuts ? pixels : up(pixels * (c + 1) / cuts, 8) * 8;
        QuantisedTiles part = t;
        part.a = a + m0 * t.pixel;
        part.m = m1 - m0;
        pointwise(part, i % panels(), m0);
      }
    });
  }

  void run(int64_t N, int threads, const Parallel& parallel) const {
    if (!b.has_depthwise_) return products(N * in.H * in.W, threads, parallel);
    images(N, threads, parallel);
  }
};

void QuantisedBlock::run(const uint8_t* x, const uint8_t* residual, const QuantisedAdd* add, int64_t N, Size size,
                         uint8_t* y, int threads, const Parallel& parallel) const {
  QuantisedRun(*this, size, {x, nullptr, false, 1.f}, residual, add, y).run(N, threads, parallel);
}
void QuantisedBlock::run(const float* x, bool planar, float scale, const uint8_t* residual, const QuantisedAdd* add,
                         int64_t N, Size size, uint8_t* y, int threads, const Parallel& parallel) const {
  require(takes_floats(), "this block takes bytes");
  QuantisedRun(*this, size, {nullptr, x, planar, scale}, residual, add, y).run(N, threads, parallel);
}

QuantisedLinear::QuantisedLinear(const QuantisedConv& conv, const QuantisedPath& path)
    : path_(path),
      in_(conv.in),
      out_(conv.out),
      quads_(up(conv.in, 4)),
      blocks_(up(conv.out, kBlock)),
      weights_(blocks_ * quads_ * (kBlock / path.lanes) * path.register_bytes()),
      bias_(blocks_ * kBlock),
      multiplier_(blocks_ * kBlock) {
  const int64_t bytes = static_cast<int64_t>(weights_.size()) / blocks_;
  for (int64_t block = 0; block < blocks_; block++)
    place_weights(path, conv, quads_, block * kBlock, 1, weights_.data() + block * bytes);
  for (int64_t c = 0; c < out_; c++) bias_[c] = bias_of(conv, c, in_), multiplier_[c] = conv.multiplier[c];
}

void QuantisedLinear::run(const uint8_t* x, int64_t N, float* y, const Parallel& parallel) const {
  const int64_t pixel = quads_ * 4;
  std::vector<uint8_t> padded(pixel == in_ ? 0 : N * pixel);
  if (!padded.empty()) QuantisedRun::pad_pixels(x, N, in_, pixel, padded.data());
  const int64_t bytes = static_cast<int64_t>(weights_.size()) / blocks_;
  parallel(blocks_, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; block++) {
      const int64_t channel = block * kBlock;
      path_.dense({padded.empty() ? x : padded.data(), pixel, N, 1, quads_, 0, weights_.data() + block * bytes,
                   bias_.data() + channel, multiplier_.data() + channel, 1, 0, 0, 0, To::floats, y + channel, out_,
                   std::min(kBlock, out_ - channel)});
    }
  });
}

void quantise(const float* x, int64_t count, Scale scale, uint8_t* y, const Parallel& parallel) {
  parallel(up(count, 4096), [&](int64_t begin, int64_t end) {
    begin *= 4096, end = std::min(end * 4096, count);
    round_all(x + begin, end - begin, scale.scale, scale.zero, y + begin);
  });
}

void dequantise(const uint8_t* x, int64_t count, Scale scale, float* y, const Parallel& parallel) {
  parallel(up(count, 4096), [&](int64_t begin, int64_t end) {
    begin *= 4096, end = std::min(end * 4096, count);
    unround_all(x + begin, end - begin, scale.scale, scale.zero, y + begin);
  });
}

void quantised_mean(const uint8_t* x, int64_t N, int64_t pixels, int64_t C, int32_t zero, float multiplier,
                    int32_t out_zero, uint8_t* y, const Parallel& parallel) {
  parallel(N, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> sum(C);
    for (int64_t n = begin; n < end; n++) {
      sum_pixels(x + n * pixels * C, pixels, C, sum.data());
      for (int64_t c = 0; c < C; c++)
        y[n * C + c] = static_cast<uint8_t>(
            byte_of(static_cast<float>(sum[c] - static_cast<int32_t>(pixels) * zero) * multiplier, out_zero));
    }
  });
}

}  // namespace mnv2
