// Depthwise 3x3 on channels-last tensors: see depthwise.h for the contract.
//
// Work is cut into bands of rows. A band keeps the last three rows of its input as padded float
// rows in tiles of kLanes channels: [tile][column][lane]. Borders then cost no branches, each
// element is widened once, and the inner loops have fixed strides.
#include "kernels/depthwise.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace mnv2 {
namespace {

constexpr int64_t kLanes = 16;  // one AVX-512 vector of floats, one cache line

// Channels-last columns to tiles, `tile_stride` floats apart.
template <class T>
MNV2_CLONES void widen_row(const T* __restrict from, int64_t columns, int64_t C, float* __restrict to,
                           int64_t tile_stride) {
  for (int64_t j = 0; j < columns; ++j, from += C, to += kLanes) {
    int64_t c = 0;
    float* tile = to;
    for (; c + kLanes <= C; c += kLanes, tile += tile_stride)
      for (int64_t l = 0; l < kLanes; ++l) tile[l] = widen(from[c + l]);
    for (int64_t l = 0; c + l < C; ++l) tile[l] = widen(from[c + l]);
  }
}

// The nine products of one window; a, b, d point at its rows, w at the taps, kLanes apart.
MNV2_INLINE float window(const float* a, const float* b, const float* d, const float* w) {
  constexpr int64_t K = kLanes;
  return (a[0] * w[0] + a[K] * w[K] + a[2 * K] * w[2 * K]) + (b[0] * w[3 * K] + b[K] * w[4 * K] + b[2 * K] * w[5 * K]) +
         (d[0] * w[6 * K] + d[K] * w[7 * K] + d[2 * K] * w[8 * K]);
}

// One tile of one output row, from three padded rows; y's columns are y_stride apart.
template <class T, int S>
MNV2_CLONES void convolve_tile(const float* __restrict a, const float* __restrict b, const float* __restrict d,
                               const float* __restrict w, int64_t columns, int64_t y_stride, T* __restrict y) {
  constexpr int64_t step = S * kLanes;
  int64_t o = 0;
  for (; o + 4 <= columns; o += 4, a += 4 * step, b += 4 * step, d += 4 * step, y += 4 * y_stride) {
    float y0[kLanes], y1[kLanes], y2[kLanes], y3[kLanes];
    for (int64_t l = 0; l < kLanes; ++l) {
      y0[l] = window(a + l, b + l, d + l, w + l);
      y1[l] = window(a + step + l, b + step + l, d + step + l, w + l);
      y2[l] = window(a + 2 * step + l, b + 2 * step + l, d + 2 * step + l, w + l);
      y3[l] = window(a + 3 * step + l, b + 3 * step + l, d + 3 * step + l, w + l);
    }
    for (int64_t l = 0; l < kLanes; ++l) y[l] = narrow<T>(y0[l]);
    for (int64_t l = 0; l < kLanes; ++l) y[y_stride + l] = narrow<T>(y1[l]);
    for (int64_t l = 0; l < kLanes; ++l) y[2 * y_stride + l] = narrow<T>(y2[l]);
    for (int64_t l = 0; l < kLanes; ++l) y[3 * y_stride + l] = narrow<T>(y3[l]);
  }
  for (; o < columns; ++o, a += step, b += step, d += step, y += y_stride)
    for (int64_t l = 0; l < kLanes; ++l) y[l] = narrow<T>(window(a + l, b + l, d + l, w + l));
}

// One tile of one row of stride 2's input gradient. At padded column 2m dy's columns m and m - 1
// meet taps 0 and 2, at 2m + 1 column m meets tap 1. With kTwo a second row of dy contributes.
// g and h point at dy's column 0, before which lies a column of zeros.
template <class T, bool kTwo>
MNV2_CLONES void scatter_tile(const float* __restrict g, const float* __restrict w, const float* __restrict h,
                              const float* __restrict v, int64_t left, int64_t columns, int64_t dx_stride,
                              T* __restrict dx) {
  constexpr int64_t K = kLanes;
  for (int64_t m = left / 2; 2 * m - left < columns; ++m) {
    const int64_t j = 2 * m - left;
    const float *gm = g + m * K, *hm = kTwo ? h + m * K : nullptr;
    if (j >= 0) {
      for (int64_t l = 0; l < K; ++l) {
        float e = gm[l] * w[l] + gm[l - K] * w[2 * K + l];
        if (kTwo) e += hm[l] * v[l] + hm[l - K] * v[2 * K + l];
        dx[j * dx_stride + l] = narrow<T>(e);
      }
    }
    if (j + 1 < columns) {
      for (int64_t l = 0; l < K; ++l) {
        float e = gm[l] * w[K + l];
        if (kTwo) e += hm[l] * v[K + l];
        dx[(j + 1) * dx_stride + l] = narrow<T>(e);
      }
    }
  }
}

// dw += x * dy over one tile of one output row: all nine taps, kLanes apart. g's columns are
// g_stride apart.
template <class T, int S>
MNV2_CLONES void correlate_tile(const float* __restrict a, const float* __restrict b, const float* __restrict d,
                                const T* __restrict g, int64_t g_stride, int64_t columns, float* __restrict dw) {
  constexpr int64_t K = kLanes, step = S * K;
  float sum[9][K] = {};
  for (int64_t o = 0; o + 2 <= columns; o += 2, a += 2 * step, b += 2 * step, d += 2 * step, g += 2 * g_stride) {
    for (int64_t l = 0; l < K; ++l) {
      const float g0 = widen(g[l]), g1 = widen(g[g_stride + l]);
      sum[0][l] += a[l] * g0 + a[step + l] * g1;
      sum[1][l] += a[K + l] * g0 + a[step + K + l] * g1;
      sum[2][l] += a[2 * K + l] * g0 + a[step + 2 * K + l] * g1;
      sum[3][l] += b[l] * g0 + b[step + l] * g1;
      sum[4][l] += b[K + l] * g0 + b[step + K + l] * g1;
      sum[5][l] += b[2 * K + l] * g0 + b[step + 2 * K + l] * g1;
      sum[6][l] += d[l] * g0 + d[step + l] * g1;
      sum[7][l] += d[K + l] * g0 + d[step + K + l] * g1;
      sum[8][l] += d[2 * K + l] * g0 + d[step + 2 * K + l] * g1;
    }
  }
  if (columns % 2) {
    for (int64_t l = 0; l < K; ++l) {
      const float g0 = widen(g[l]);
      for (int k = 0; k < 3; ++k) {
        sum[k][l] += a[k * K + l] * g0;
        sum[3 + k][l] += b[k * K + l] * g0;
        sum[6 + k][l] += d[k * K + l] * g0;
      }
    }
  }
  for (int k = 0; k < 9; ++k)
    for (int64_t l = 0; l < K; ++l) dw[k * K + l] += sum[k][l];
}

int64_t tiles_of(int64_t C) { return (C + kLanes - 1) / kLanes; }

// Zeros that begin on a cache line: a vector load across two lines costs twice.
class Floats {
 public:
  explicit Floats(int64_t n) : memory_(n + kLanes, 0.f) {
    const auto at = reinterpret_cast<uintptr_t>(memory_.data());
    begin_ = memory_.data() + (64 - at % 64) % 64 / sizeof(float);
  }
  Floats(Floats&&) = default;
  float* data() { return begin_; }
  const float* data() const { return begin_; }

 private:
  std::vector<float> memory_;
  float* begin_;
};

// One row in tiles. All tiles of a row outside the image are the same zeros.
struct Row {
  const float* data;
  int64_t tile_stride;
  const float* tile(int64_t t) const { return data + t * tile_stride; }
};

// The last three rows of one image, widened, between zero columns.
template <class T>
class RowRing {
 public:
  // A row of `width` columns lies at column `left` of `padded` columns.
  RowRing(int64_t height, int64_t width, int64_t left, int64_t padded, int64_t C)
      : height_(height),
        width_(width),
        left_(left),
        C_(C),
        tile_stride_(padded * kLanes),
        slot_stride_(tiles_of(C) * tile_stride_),
        buffer_(3 * slot_stride_ + tile_stride_) {}

  void open(const T* image) {
    image_ = image;
    for (int64_t& row : held_) row = -1;
  }
  Row row(int64_t i) {
    if (i < 0 || i >= height_) return {buffer_.data() + 3 * slot_stride_, 0};
    float* slot = buffer_.data() + (i % 3) * slot_stride_;
    if (held_[i % 3] != i) {
      widen_row(image_ + i * width_ * C_, width_, C_, slot + left_ * kLanes, tile_stride_);
      held_[i % 3] = i;
    }
    return {slot, tile_stride_};
  }

 private:
  int64_t height_, width_, left_, C_, tile_stride_, slot_stride_;
  Floats buffer_;  // three rows and one tile of zeros
  const T* image_ = nullptr;
  int64_t held_[3] = {-1, -1, -1};
};

// Writes one row tile by tile: write(tile, pointer, distance between columns). A last tile of
// fewer than kLanes channels goes through `partial`.
template <class T, class Write>
void write_row(int64_t columns, int64_t C, std::vector<T>& partial, T* row, const Write& write) {
  const int64_t full = C / kLanes, rest = C % kLanes;
  for (int64_t t = 0; t < full; ++t) write(t, row + t * kLanes, C);
  if (rest == 0) return;
  partial.resize(columns * kLanes);
  write(full, partial.data(), kLanes);
  for (int64_t j = 0; j < columns; ++j) std::copy_n(partial.data() + j * kLanes, rest, row + j * C + full * kLanes);
}

// [C, 3, 3] to [tile][tap][lane], optionally turned by 180 degrees.
template <class T>
Floats taps_of(const T* w, int64_t C, bool turned) {
  Floats taps(tiles_of(C) * 9 * kLanes);
  for (int64_t c = 0; c < C; ++c)
    for (int64_t k = 0; k < 9; ++k)
      taps.data()[(c / kLanes * 9 + (turned ? 8 - k : k)) * kLanes + c % kLanes] = widen(w[c * 9 + k]);
  return taps;
}

// Bands of rows, so that there are about 64 units of work but none so thin that its borders,
// read twice, weigh much. Fixed by the shape alone.
struct Bands {
  int64_t rows, per_image, count;
  Bands(int64_t N, int64_t height) {
    const int64_t wanted = std::max<int64_t>(1, std::min((64 + N - 1) / N, height / 8));
    rows = (height + wanted - 1) / wanted;
    per_image = (height + rows - 1) / rows;
    count = N * per_image;
  }
};

template <class T, int S>
void convolve(const T* x, const Floats& taps, int64_t N, int64_t C, int64_t H, int64_t W, int64_t top, int64_t left,
              int64_t out_h, int64_t out_w, T* y, const Parallel& parallel) {
  const Bands bands(N, out_h);
  parallel(bands.count, [&](int64_t begin, int64_t end) {
    RowRing<T> ring(H, W, left, std::max((out_w - 1) * S + 3, left + W), C);
    std::vector<T> partial;
    for (int64_t band = begin; band < end; ++band) {
      const int64_t n = band / bands.per_image, first = band % bands.per_image * bands.rows;
      ring.open(x + n * H * W * C);
      for (int64_t o = first; o < std::min(first + bands.rows, out_h); ++o) {
        const int64_t i = o * S - top;
        const Row a = ring.row(i), b = ring.row(i + 1), d = ring.row(i + 2);
        write_row(out_w, C, partial, y + (n * out_h + o) * out_w * C, [&](int64_t t, T* out, int64_t stride) {
          convolve_tile<T, S>(a.tile(t), b.tile(t), d.tile(t), taps.data() + t * 9 * kLanes, out_w, stride, out);
        });
      }
    }
  });
}

// Stride 2: at padded row u = i + top, an even row meets the taps' rows 0 and 2, an odd one row 1;
// columns likewise.
template <class T>
void scatter(const T* dy, const Floats& taps, const DepthwiseShape& s, T* dx, const Parallel& parallel) {
  const int64_t C = s.C, W = s.W, out_h = s.out_h(), out_w = s.out_w();
  const int64_t last_m = (W - 1 + s.left) / 2;
  const Bands bands(s.N, s.H);
  parallel(bands.count, [&](int64_t begin, int64_t end) {
    RowRing<T> ring(out_h, out_w, 1, std::max(last_m + 2, out_w + 1), C);
    std::vector<T> partial;
    for (int64_t band = begin; band < end; ++band) {
      const int64_t n = band / bands.per_image, first = band % bands.per_image * bands.rows;
      ring.open(dy + n * out_h * out_w * C);
      for (int64_t i = first; i < std::min(first + bands.rows, s.H); ++i) {
        const int64_t u = i + s.top;
        const Row g = ring.row(u / 2), h = ring.row(u % 2 ? -1 : u / 2 - 1);
        const auto tile = u % 2 ? scatter_tile<T, false> : scatter_tile<T, true>;
        write_row(W, C, partial, dx + (n * s.H + i) * W * C, [&](int64_t t, T* out, int64_t stride) {
          const float* w = taps.data() + t * 9 * kLanes;
          tile(g.tile(t) + kLanes, w + (u % 2 ? 3 * kLanes : 0), h.tile(t) + kLanes, w + 6 * kLanes, s.left, W, stride,
               out);
        });
      }
    }
  });
}

template <class T, int S>
void correlate(const T* dy, const T* x, const DepthwiseShape& s, T* dw, const Parallel& parallel) {
  const int64_t C = s.C, out_h = s.out_h(), out_w = s.out_w(), tiles = tiles_of(C);
  const int64_t fold_rows = std::max<int64_t>(1, 128 / out_w);  // rows summed in float
  const int64_t size = tiles * 9 * kLanes;
  const Bands bands(s.N, out_h);
  std::vector<double> partial(bands.count * size, 0.0);
  parallel(bands.count, [&](int64_t begin, int64_t end) {
    RowRing<T> ring(s.H, s.W, s.left, std::max((out_w - 1) * S + 3, s.left + s.W), C);
    std::vector<T> last_tile(out_w * kLanes, T(0));
    Floats sums(size);
    for (int64_t band = begin; band < end; ++band) {
      const int64_t n = band / bands.per_image, first = band % bands.per_image * bands.rows;
      const int64_t last = std::min(first + bands.rows, out_h);
      double* total = partial.data() + band * size;
      ring.open(x + n * s.H * s.W * C);
      for (int64_t block = first; block < last; block += fold_rows) {
        std::fill_n(sums.data(), size, 0.f);
        for (int64_t o = block; o < std::min(block + fold_rows, last); ++o) {
          const int64_t i = o * S - s.top;
          const Row a = ring.row(i), b = ring.row(i + 1), d = ring.row(i + 2);
          const T* g = dy + (n * out_h + o) * out_w * C;
          for (int64_t t = 0; t < C / kLanes; ++t)
            correlate_tile<T, S>(a.tile(t), b.tile(t), d.tile(t), g + t * kLanes, C, out_w,
                                 sums.data() + t * 9 * kLanes);
          if (C % kLanes == 0) continue;
          const int64_t t = tiles - 1, rest = C % kLanes;  // a last tile of fewer channels, filled up with zeros
          for (int64_t j = 0; j < out_w; ++j) std::copy_n(g + j * C + t * kLanes, rest, last_tile.data() + j * kLanes);
          correlate_tile<T, S>(a.tile(t), b.tile(t), d.tile(t), last_tile.data(), kLanes, out_w,
                               sums.data() + t * 9 * kLanes);
        }
        for (int64_t k = 0; k < size; ++k) total[k] += sums.data()[k];
      }
    }
  });
  for (int64_t c = 0; c < C; ++c) {
    for (int64_t k = 0; k < 9; ++k) {
      const int64_t at = (c / kLanes * 9 + k) * kLanes + c % kLanes;
      double sum = 0;
      for (int64_t band = 0; band < bands.count; ++band) sum += partial[band * size + at];
      dw[c * 9 + k] = narrow<T>(static_cast<float>(sum));
    }
  }
}

void require_valid(const DepthwiseShape& s) {
  if (!s.valid())
    throw std::invalid_argument(
        "depthwise 3x3: expected stride 1 or 2, pads from 0 to 2, and an input of at least 3x3 with its padding");
}

}  // namespace

template <class T>
void depthwise_forward(const T* x, const T* w, const DepthwiseShape& s, T* y, const Parallel& parallel) {
  require_valid(s);
  const auto run = s.stride == 1 ? convolve<T, 1> : convolve<T, 2>;
  run(x, taps_of(w, s.C, false), s.N, s.C, s.H, s.W, s.top, s.left, s.out_h(), s.out_w(), y, parallel);
}

template <class T>
void depthwise_backward(const T* dy, const T* x, const T* w, const DepthwiseShape& s, T* dx, T* dw,
                        const Parallel& parallel) {
  require_valid(s);
  if (dx && s.stride == 1) {  // a convolution of dy with the turned kernel
    convolve<T, 1>(dy, taps_of(w, s.C, true), s.N, s.C, s.out_h(), s.out_w(), 2 - s.top, 2 - s.left, s.H, s.W, dx,
                   parallel);
  } else if (dx) {
    scatter<T>(dy, taps_of(w, s.C, false), s, dx, parallel);
  }
  if (dw) (s.stride == 1 ? correlate<T, 1> : correlate<T, 2>)(dy, x, s, dw, parallel);
}

#define MNV2_INSTANTIATE(T)                                                                           \
  template void depthwise_forward<T>(const T*, const T*, const DepthwiseShape&, T*, const Parallel&); \
  template void depthwise_backward<T>(const T*, const T*, const T*, const DepthwiseShape&, T*, T*, const Parallel&);
MNV2_INSTANTIATE(float)
MNV2_INSTANTIATE(bfloat16)
#undef MNV2_INSTANTIATE

}  // namespace mnv2
