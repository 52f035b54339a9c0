// See quantised.h for what is computed, quantised_paths.h for the layouts.
//
// A block is cut as in separable.cc: where a whole image's depthwise output fits the cache, one panel of channels at a
// time is expanded for the whole image and convolved; larger images go a few output rows at a time, over a ring of
// expanded rows. One large image is shared by threads as strips of rows, a small one by panels of channels, with one
// meeting in between; of a batch every thread takes images.
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

constexpr int64_t kPanel = 3;          // blocks of output channels a register tile covers
constexpr int64_t kCache = 256 << 10;  // bytes of one core's L2 that a depthwise output may take
constexpr int64_t kRingPixels = 112;   // output pixels a step of the ring makes
constexpr int64_t kStripRows = 14;     // from this height on an image is shared by rows
constexpr int64_t kGroupBytes = kGroup * kBlock;

int64_t up(int64_t count, int64_t unit) { return (count + unit - 1) / unit; }
int64_t outputs(int64_t size, int64_t before, int64_t after, int64_t kernel, int64_t stride) {
  const int64_t room = size + before + after - kernel;
  return room < 0 ? 0 : room / stride + 1;
}

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

// A thread's own memory, kept between calls; contents do not matter, it begins on a cache line.
class Scratch {
 public:
  uint8_t* take(int64_t bytes) {
    if (bytes > size_) {
      memory_.reset(new uint8_t[bytes + 64]);
      size_ = bytes;
    }
    return memory_.get() + (64 - reinterpret_cast<uintptr_t>(memory_.get()) % 64) % 64;
  }

 private:
  std::unique_ptr<uint8_t[]> memory_;
  int64_t size_ = 0;
};

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

// Panels of three blocks, or two: both halves are cut alike, so that two threads share a layer evenly.
std::vector<QuantisedBlock::Panel> QuantisedBlock::cut(int64_t blocks, int64_t bytes) {
  std::vector<Panel> panels;
  const int64_t half = blocks >= 4 && blocks % 2 == 0 ? blocks / 2 : blocks;
  for (int64_t block = 0; block < blocks;) {
    const int64_t left = (block < half ? half : blocks) - block, take = left == 4 ? 2 : std::min(left, kPanel);
    panels.push_back({block, take, block * bytes});
    block += take;
  }
  return panels;
}

QuantisedBlock::Dense QuantisedBlock::pack(const QuantisedConv& conv, int64_t in) const {
  Dense d;
  d.conv = conv;
  d.conv.weight = nullptr, d.conv.bias = nullptr, d.conv.multiplier = nullptr;
  d.quads = conv.size * up(in, 4);
  const int64_t blocks = up(conv.out, kBlock),
                bytes = conv.size * d.quads * (kBlock / path_.lanes) * path_.register_bytes();
  d.panels = cut(blocks, bytes);
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
  require(!dense || depthwise, "a dense convolution comes before a depthwise one");
  require(pointwise.size == 1 && pointwise.stride == 1 && !pointwise.top && !pointwise.left && !pointwise.bottom &&
              !pointwise.right,
          "the pointwise convolution is 1x1, stride 1, without padding");
  for (const auto* c : {dense, depthwise, &pointwise}) {
    if (!c) continue;
    for (int32_t q : {c->zero, c->out_zero, c->lo, c->hi}) require(q >= 0 && q <= 255, "bytes are 0 to 255");
  }
  if (depthwise) {
    const auto& d = *depthwise;
    require(d.size == 3 && (d.stride == 1 || d.stride == 2) && d.in == d.out && d.out == pointwise.in,
            "the depthwise convolution is 3x3 of stride 1 or 2");
    for (int64_t pad : {d.top, d.left, d.bottom, d.right}) require(pad >= 0 && pad <= 2, "pads are 0 to 2");
    mid_blocks_ = up(d.out, kBlock);
    pack_taps(d);
    depthwise_ = d;
    depthwise_.weight = nullptr, depthwise_.bias = nullptr, depthwise_.multiplier = nullptr;
  }
  if (dense) {
    require(dense->out == depthwise->in && dense->size >= 1 && dense->stride >= 1,
            "the dense convolution feeds the depthwise one");
    require(dense->top >= 0 && dense->left >= 0 && dense->bottom >= 0 && dense->right >= 0, "pads are not negative");
    dense_ = pack(*dense, dense->in);
  } else if (depthwise) {
    dense_.panels = cut(mid_blocks_, 0);
  }
  // After a depthwise convolution the products are counted in whole blocks.
  pointwise_ = pack(pointwise, depthwise ? mid_blocks_ * kBlock : pointwise.in);
}

bool QuantisedBlock::takes_floats() const {
  const auto& c = dense_.conv;
  return has_dense_ && (c.size > 1 || c.stride > 1 || c.top || c.left || c.bottom || c.right);
}

QuantisedBlock::Size QuantisedBlock::out(Size in) const {
  auto through = [](Size s, const QuantisedConv& c) {
    return Size{outputs(s.H, c.top, c.bottom, c.size, c.stride), outputs(s.W, c.left, c.right, c.size, c.stride)};
  };
  if (has_dense_) in = through(in, dense_.conv);
  return has_depthwise_ ? through(in, depthwise_) : in;
}

// One call of QuantisedBlock::run. Rows of wide begin with a group of padding, in front of the image's first column.
struct QuantisedRun {
  using Size = QuantisedBlock::Size;
  using Panel = QuantisedBlock::Panel;

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
  Size wide;
  int64_t row;     // bytes of a wide row of one block
  int64_t groups;  // of a row of mid

  QuantisedRun(const QuantisedBlock& block, Size size, const Image& x, const uint8_t* residual, const QuantisedAdd* sum,
               uint8_t* y)
      : b(block),
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
        wide(size),
        groups(up(out.W, kGroup)) {
    if (residual) add = {of_16_bits(sum->a), of_16_bits(sum->b), sum->zero, sum->to};
    const auto& c = b.dense_.conv;
    if (b.has_dense_)
      wide = {outputs(in.H, c.top, c.bottom, c.size, c.stride), outputs(in.W, c.left, c.right, c.size, c.stride)};
    const int64_t last = window_start(b.depthwise_.stride, b.depthwise_.left, kGroup * groups - 1) + 2;
    row = std::max(last / kGroup + 1, 1 + up(wide.W, kGroup)) * kGroupBytes;
  }

  struct Memory {
    Scratch staged, wide, mid;
  };
  static Memory& memory() {
    static thread_local Memory own;
    return own;
  }

  int64_t first_row(int64_t r) const { return r * b.depthwise_.stride - b.depthwise_.top; }
  /** One past the last row that output row r - 1 reads. */
  int64_t end_row(int64_t r) const { return first_row(r - 1) + 3; }

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
  void widen_row(int64_t n, int64_t h, const Staged& staged, const Panel& panel, uint8_t* to, int64_t stride) const {
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
  int64_t mid_bytes(int64_t rows) const { return b.mid_blocks_ * rows * mid_row(); }

  // Output rows [r0, r1) of the depthwise convolution of image n for panels [p0, p1), into mid [block][row]. The
  // panels' wide rows share one place.
  void by_panels(int64_t n, int64_t r0, int64_t r1, int64_t p0, int64_t p1, uint8_t* mid) const {
    const int64_t begin = first_row(r0), end = end_row(r1), stride = (end - begin) * row;
    const Staged staged = stage(n, std::max<int64_t>(begin, 0), std::min(end, wide.H));
    uint8_t* const w = memory().wide.take(kPanel * stride);
    for (int64_t p = p0; p < p1; p++) {
      const auto& panel = b.dense_.panels[p];
      for (int64_t h = begin; h < end; h++) widen_row(n, h, staged, panel, w + (h - begin) * row, stride);
      for (int64_t i = 0; i < panel.blocks; i++)
        for (int64_t r = r0; r < r1; r++) {
          const uint8_t* top = w + i * stride + (first_row(r) - begin) * row;
          const uint8_t* rows[3] = {top, top + row, top + 2 * row};
          depthwise_row(panel.block + i, rows, mid + ((panel.block + i) * (r1 - r0) + r - r0) * mid_row());
        }
    }
  }

  // Output rows [r0, r1) of image n, a few at a time, all panels' wide rows kept in a ring.
  void by_rows(int64_t n, int64_t r0, int64_t r1) const {
    const int64_t step = std::max<int64_t>(1, kRingPixels / out.W), ring = (step - 1) * b.depthwise_.stride + 3,
                  stride = ring * row, begin = first_row(r0);
    uint8_t* const w = memory().wide.take(b.mid_blocks_ * stride);
    uint8_t* const mid = memory().mid.take(mid_bytes(step));
    auto place = [&](int64_t h) { return w + (h - begin) % ring * row; };
    for (int64_t r = r0, h = begin; r < r1; r += step) {
      const int64_t count = std::min(step, r1 - r), end = end_row(r + count);
      const Staged staged = stage(n, std::max<int64_t>(h, 0), std::min(end, wide.H));
      for (const auto& panel : b.dense_.panels) {
        for (int64_t i = h; i < end; i++) widen_row(n, i, staged, panel, place(i) + panel.block * stride, stride);
        for (int64_t block = panel.block; block < panel.block + panel.blocks; block++)
          for (int64_t k = 0; k < count; k++) {
            const int64_t top = first_row(r + k);
            const uint8_t* rows[3] = {place(top) + block * stride, place(top + 1) + block * stride,
                                      place(top + 2) + block * stride};
            depthwise_row(block, rows, mid + (block * count + k) * mid_row());
          }
      }
      h = end;
      project(mid, n, r, count, 0, count, 0, panels());
    }
  }

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

  // Output rows [r0, r1) of image n, on the calling thread.
  void rows(int64_t n, int64_t r0, int64_t r1) const {
    if (r0 >= r1) return;
    if (mid_bytes(r1 - r0) > kCache) return by_rows(n, r0, r1);
    uint8_t* const mid = memory().mid.take(mid_bytes(r1 - r0));
    by_panels(n, r0, r1, 0, static_cast<int64_t>(b.dense_.panels.size()), mid);
    project(mid, n, r0, r1 - r0, 0, r1 - r0, 0, panels());
  }

  // Image n, on all threads.
  void shared(int64_t n, int threads, const Parallel& parallel) const {
    if (out.H >= kStripRows) {
      parallel(threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) rows(n, out.H * i / threads, out.H * (i + 1) / threads);
      });
      return;
    }
    uint8_t* const mid = memory().mid.take(mid_bytes(out.H));
    parallel(b.dense_.panels.size(), [&](int64_t begin, int64_t end) { by_panels(n, 0, out.H, begin, end, mid); });
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
    // Whole images for every thread; what is left over is shared, unless it keeps most of them busy.
    const int64_t left = N % threads, alone = 2 * left > threads ? N : N - left;
    parallel(alone, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; n++) rows(n, 0, out.H);
    });
    for (int64_t n = alone; n < N; n++) shared(n, threads, parallel);
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
