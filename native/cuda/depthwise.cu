// Depthwise 3x3 on channels-last tensors, fused with the BatchNorms around it: see kernels.h.
//
// A block owns up to 32 channels and walks spatial tiles. It loads a tile with its border into
// shared memory, 16 bytes a thread, normalising on the way; then each thread, which owns P
// neighbouring channels of one column, slides down the rows. Whatever is summed over the whole
// tensor (statistics, weight gradients) stays in registers until the block's last tile.
#include <limits>

#include "cuda/reduce.h"

namespace mnv2::cuda {
namespace {

constexpr int kTile = 14;   // output columns and rows at stride 1: divides 14, 28, 56, 112
constexpr int kPairs = 16;  // threads side by side at one column
constexpr int kMaxThreads = kPairs * kTile;
constexpr int kChannelBytes = 64;  // of one block and pixel: two sectors of device memory

// The activation as bounds, so that one kernel serves all three.
struct Bounds {
  float low, high;
};
Bounds bounds_of(Act act) {
  const float inf = std::numeric_limits<float>::infinity();
  return {act == Act::none ? -inf : 0.f, act == Act::relu6 ? 6.f : inf};
}

// Pointers of a BatchNorm before the convolution, all null if there is none; of a bias, beta alone.
struct Before {
  const float *mean, *rstd, *gamma, *beta;
  Bounds bounds;
};
Before before_of(const Norm* norm) {
  if (!norm) return {nullptr, nullptr, nullptr, nullptr, bounds_of(Act::none)};
  return {norm->mean, norm->rstd, norm->gamma, norm->beta, bounds_of(norm->act)};
}

struct Tiling {
  int H, W, out_h, out_w, top, left;
  int64_t C;
  int channels;      // of one block, a multiple of its vector
  int rows, cols;    // of one tile: of the output in the forward pass, of x in the backward pass
  int down, across;  // tiles of one image
  int count;         // tiles in all
};

// What a thread is to its tile.
template <int P>
struct Lane {
  int pair, column;  // first channel within the block's; column within the tile
  int64_t c;
  MNV2_DEVICE explicit Lane(const Tiling& t)
      : pair(threadIdx.x % (t.channels / P) * P),
        column(threadIdx.x / (t.channels / P)),
        c(int64_t(blockIdx.x) * t.channels + pair) {}
};

struct TileAt {
  int n, row, col;  // image, first row and column
  MNV2_DEVICE TileAt(const Tiling& t, int index) {
    const int within = index % (t.down * t.across);
    n = index / (t.down * t.across);
    row = within / t.across * t.rows;
    col = within % t.across * t.cols;
  }
};

// One channel's normalisation.
struct Affine {
  float mean = 0.f, scale = 1.f, beta = 0.f;
  MNV2_DEVICE float pre(float x) const { return (x - mean) * scale + beta; }
};
MNV2_DEVICE Affine affine_of(const Before& b, int64_t c) {
  if (!b.mean) return {0.f, 1.f, b.beta ? b.beta[c] : 0.f};
  return {b.mean[c], b.gamma[c] * b.rstd[c], b.beta[c]};
}
// As activate() and activate_grad() in element.h.
MNV2_DEVICE float clamp(float v, const Bounds& b) {
  v = v < b.low ? b.low : v;
  return v > b.high ? b.high : v;
}
MNV2_DEVICE float clamp_grad(float pre, float grad, const Bounds& b) {
  return (pre <= b.low) | (pre >= b.high) ? 0.f : grad;
}

// The parameters of the block's channels, in shared memory: [channels].
MNV2_DEVICE void load_affines(const Before& before, const Tiling& t, Affine* shared) {
  for (int c = threadIdx.x; c < t.channels; c += blockDim.x) {
    const int64_t channel = int64_t(blockIdx.x) * t.channels + c;
    if (channel < t.C) shared[c] = affine_of(before, channel);
  }
}

// Sums K values of each of P channels over the block's columns: value(k, p) of each thread, in
// the same order always. Threads of column 0 then call result(k, p, sum).
template <int K, int P, class Value, class Result>
MNV2_DEVICE void sum_columns(float* shared, const Tiling& t, const Lane<P>& lane, const Value& value,
                             const Result& result) {
  for (int k = 0; k < K; ++k) {
    __syncthreads();
    for (int p = 0; p < P; ++p) shared[lane.column * t.channels + lane.pair + p] = value(k, p);
    __syncthreads();
    if (lane.column != 0 || lane.c >= t.C) continue;
    for (int p = 0; p < P; ++p) {
      float sum = 0.f;
      for (unsigned j = 0; j < blockDim.x / (t.channels / P); ++j) sum += shared[j * t.channels + lane.pair + p];
      result(k, p, sum);
    }
  }
}

// statistics: [blocks, 3, C] of n, mean, m2 of what was written, or null.
template <class T, int V, int P, int S>
__global__ void __launch_bounds__(kMaxThreads, 4)
    depthwise_forward_kernel(const T* __restrict__ x, Before before, const float* __restrict__ w, Tiling t,
                             T* __restrict__ y, float* __restrict__ statistics, const float* __restrict__ bias,
                             Bounds tail) {
  const Lane<P> lane(t);
  const int in_rows = (t.rows - 1) * S + 3, in_cols = (t.cols - 1) * S + 3;
  float* const tile = shared_memory<float>();  // [in_rows, in_cols, channels]
  Affine* const affines = reinterpret_cast<Affine*>(tile + in_rows * in_cols * t.channels);
  load_affines(before, t, affines);

  float taps[9][P] = {}, shift[P] = {};
  if (lane.c < t.C) {
    for (int p = 0; p < P; ++p) {
      for (int k = 0; k < 9; ++k) taps[k][p] = w[(lane.c + p) * 9 + k];
      if (bias) shift[p] = bias[lane.c + p];
    }
  }
  Sums<P> sums;

  for (int index = blockIdx.y; index < t.count; index += gridDim.y) {
    const TileAt at(t, index);
    __syncthreads();  // the tile before is no longer read
    const int vectors = t.channels / V;
    for (int i = threadIdx.x; i < in_rows * in_cols * vectors; i += blockDim.x) {
      const int first = i % vectors * V, pixel = i / vectors;
      const int ih = at.row * S - t.top + pixel / in_cols, iw = at.col * S - t.left + pixel % in_cols;
      const int64_t c = int64_t(blockIdx.x) * t.channels + first;
      float value[V] = {};
      if (ih >= 0 && iw >= 0 && ih < t.H && iw < t.W && c < t.C) {
        load(x + ((int64_t(at.n) * t.H + ih) * t.W + iw) * t.C + c, value);
        for (int v = 0; v < V; ++v) value[v] = clamp(affines[first + v].pre(value[v]), before.bounds);
      }
      for (int v = 0; v < V; ++v) tile[pixel * t.channels + first + v] = value[v];
    }
    __syncthreads();

    const int ow = at.col + lane.column;
    if (ow >= t.out_w || lane.c >= t.C) continue;
    const float* in = tile + lane.column * S * t.channels + lane.pair;
    const int rows = t.out_h - at.row < t.rows ? t.out_h - at.row : t.rows;
    // A row of the input adds to at most three rows of the output: two unfinished ones are kept.
    float next[P] = {}, last[P] = {};
    for (int r = 0; r < (rows - 1) * S + 3; ++r, in += in_cols * t.channels) {
      float a[P], b[P], d[P];
      load(in, a);
      load(in + t.channels, b);
      load(in + 2 * t.channels, d);
      float done[P];
      for (int p = 0; p < P; ++p) {
        const auto row_of_taps = [&](int k) {
          return a[p] * taps[k][p] + b[p] * taps[k + 1][p] + d[p] * taps[k + 2][p];
        };
        if (S == 1) {
          done[p] = last[p] + row_of_taps(6);
          last[p] = next[p] + row_of_taps(3);
          next[p] = row_of_taps(0);
        } else if (r % 2 == 0) {
          done[p] = last[p] + row_of_taps(6);
          last[p] = row_of_taps(0);
        } else {
          last[p] += row_of_taps(3);
        }
      }
      if (r < 2 || (S == 2 && r % 2 != 0)) continue;
      const int oh = at.row + (r - 2) / S;
      for (int p = 0; p < P; ++p)
        done[p] = widen(narrow<T>(clamp(done[p] + shift[p], tail)));  // statistics of what is stored
      store(done, y + ((int64_t(at.n) * t.out_h + oh) * t.out_w + ow) * t.C + lane.c);
      sums.add(done);
    }
  }

  if (!statistics) return;
  Moments* const shared = shared_memory<Moments>();  // [columns, channels]
  __syncthreads();
  for (int p = 0; p < P; ++p) shared[lane.column * t.channels + lane.pair + p] = sums.moments(p);
  __syncthreads();
  if (lane.column != 0 || lane.c >= t.C) return;
  for (int p = 0; p < P; ++p) {
    Moments m = shared[lane.pair + p];
    for (unsigned j = 1; j < blockDim.x / (t.channels / P); ++j) m = merge(m, shared[j * t.channels + lane.pair + p]);
    float* out = statistics + blockIdx.y * 3 * t.C + lane.c + p;
    out[0] = m.n, out[t.C] = m.mean, out[2 * t.C] = m.m2;
  }
}

// The BatchNorm behind the convolution, as its gradient needs it: dy = scale (g - offset - slope (y - mean)).
struct After {
  const void* y;
  const float *mean, *rstd, *gamma, *beta, *dgamma, *dbeta;
  Bounds bounds;
  float rows;
};
struct AfterChannel {
  float mean, scale, beta, offset, slope;
};

// Loads dy's tile, of rows x cols pixels from (row, col), through `after` if there is one.
template <class T, int V>
MNV2_DEVICE void load_gradient(const T* dy, const After& after, const AfterChannel* channels, const Tiling& t, int n,
                               int row, int col, int rows, int cols, T* tile) {
  const int vectors = t.channels / V;
  for (int i = threadIdx.x; i < rows * cols * vectors; i += blockDim.x) {
    const int first = i % vectors * V, pixel = i / vectors, oh = row + pixel / cols, ow = col + pixel % cols;
    const int64_t c = int64_t(blockIdx.x) * t.channels + first;
    float g[V] = {};
    if (oh >= 0 && ow >= 0 && oh < t.out_h && ow < t.out_w && c < t.C) {
      const int64_t at = ((int64_t(n) * t.out_h + oh) * t.out_w + ow) * t.C + c;
      load(dy + at, g);
      if (after.y) {
        float y[V];
        load(static_cast<const T*>(after.y) + at, y);
        for (int v = 0; v < V; ++v) {
          const AfterChannel& a = channels[first + v];
          const float d = y[v] - a.mean, pre = d * a.scale + a.beta;
          g[v] = a.scale * clamp_grad(pre, g[v], after.bounds) - a.offset - a.slope * d;
        }
      }
    }
    store(g, tile + pixel * t.channels + first);
  }
}

// Both gradients. partial: [blocks, 11, C]: nine weight sums, then sum g and sum g (x - mean).
// A tile is rows x cols of x; at stride 2 both are even, a thread owns two columns and takes two
// rows at a time, which begin at even positions of the padded input.
template <class T, int V, int P, int S>
__global__ void __launch_bounds__(kMaxThreads, 2)
    depthwise_backward_kernel(const T* __restrict__ dy, After after, const T* __restrict__ x, Before before,
                              const float* __restrict__ w, Tiling t, T* __restrict__ dx, float* __restrict__ partial) {
  const Lane<P> lane(t);
  // Positions in the padded input: u = ih + top. Tiles start at multiples of S below the image.
  const int u0 = S == 1 ? t.top : t.top / 2 * 2, v0 = S == 1 ? t.left : t.left / 2 * 2;
  const int dy_rows = t.rows / S + (S == 1 ? 2 : 1), dy_cols = t.cols / S + (S == 1 ? 2 : 1);
  T* const gradient = shared_memory<T>();                      // [dy_rows, dy_cols, channels]
  T* const input = gradient + dy_rows * dy_cols * t.channels;  // [rows, cols, channels]
  // The two tiles hold an even number of bytes only; the channels' parameters follow at 16.
  const size_t tiles = sizeof(T) * size_t(t.channels) * (dy_rows * dy_cols + t.rows * t.cols);
  AfterChannel* const channels = reinterpret_cast<AfterChannel*>(shared_memory<char>() + (tiles + 15) / 16 * 16);
  if (after.y) {
    for (int i = threadIdx.x; i < t.channels; i += blockDim.x) {
      const int64_t c = int64_t(blockIdx.x) * t.channels + i;
      if (c >= t.C) continue;
      const float scale = after.gamma[c] * after.rstd[c];
      channels[i] = {after.mean[c], scale, after.beta[c], scale * after.dbeta[c] / after.rows,
                     scale * after.rstd[c] * after.dgamma[c] / after.rows};
    }
  }

  const bool active = lane.c < t.C;
  float taps[9][P] = {}, dw[9][P] = {}, s1[P] = {}, s2[P] = {};
  Affine affine[P];
  if (active) {
    for (int p = 0; p < P; ++p) {
      for (int k = 0; k < 9; ++k) taps[k][p] = w[(lane.c + p) * 9 + k];
      affine[p] = affine_of(before, lane.c + p);
    }
  }

  for (int index = blockIdx.y; index < t.count; index += gridDim.y) {
    const TileAt at(t, index);
    const int u = u0 + at.row, v = v0 + at.col;  // first padded position of the tile
    __syncthreads();
    load_gradient<T, V>(dy, after, channels, t, at.n, S == 1 ? u - 2 : u / 2 - 1, S == 1 ? v - 2 : v / 2 - 1, dy_rows,
                        dy_cols, gradient);
    const int vectors = t.channels / V;
    for (int i = threadIdx.x; i < t.rows * t.cols * vectors; i += blockDim.x) {
      const int first = i % vectors * V, pixel = i / vectors;
      const int ih = u + pixel / t.cols - t.top, iw = v + pixel % t.cols - t.left;
      const int64_t c = int64_t(blockIdx.x) * t.channels + first;
      if (ih < 0 || iw < 0 || ih >= t.H || iw >= t.W || c >= t.C) continue;
      float value[V];
      load(x + ((int64_t(at.n) * t.H + ih) * t.W + iw) * t.C + c, value);
      store(value, input + pixel * t.channels + first);
    }
    __syncthreads();
    if (!active) continue;

    // One pixel of x: `row`, `col` within the tile; da its gradient; tap(k) adds a * dy to dw[k].
    const auto pixel = [&](int row, int col, const float (&da)[P], const auto& weights) {
      const int ih = u + row - t.top, iw = v + col - t.left;
      if (ih < 0 || iw < 0 || ih >= t.H || iw >= t.W) return;
      float value[P], g[P];
      load(input + (row * t.cols + col) * t.channels + lane.pair, value);
      for (int p = 0; p < P; ++p) {
        const float pre = affine[p].pre(value[p]);
        g[p] = widen(narrow<T>(clamp_grad(pre, da[p], before.bounds)));  // sums of what is stored
        weights(p, clamp(pre, before.bounds));
        s1[p] += g[p];
        s2[p] += g[p] * (value[p] - affine[p].mean);
      }
      if (dx) store(g, dx + ((int64_t(at.n) * t.H + ih) * t.W + iw) * t.C + lane.c);
    };
    const auto dy_at = [&](int row, int col, float (&to)[P]) {
      load(gradient + (row * dy_cols + col) * t.channels + lane.pair, to);
    };

    if (S == 1) {
      // x at (i, j) meets tap (kh, kw) with dy at (i + 2 - kh, j + 2 - kw) of its tile.
      float a[3][P], b[3][P], d[3][P];  // dy's rows i, i + 1, i + 2
      for (int j = 0; j < 3; ++j) dy_at(0, lane.column + j, b[j]), dy_at(1, lane.column + j, d[j]);
      for (int i = 0; i < t.rows; ++i) {
        for (int j = 0; j < 3; ++j) {
          for (int p = 0; p < P; ++p) a[j][p] = b[j][p], b[j][p] = d[j][p];
          dy_at(i + 2, lane.column + j, d[j]);
        }
        float da[P];
        for (int p = 0; p < P; ++p) {
          da[p] = 0.f;
          for (int j = 0; j < 3; ++j)
            da[p] += d[j][p] * taps[2 - j][p] + b[j][p] * taps[5 - j][p] + a[j][p] * taps[8 - j][p];
        }
        pixel(i, lane.column, da, [&](int p, float value) {
          for (int j = 0; j < 3; ++j) {
            dw[2 - j][p] += value * d[j][p];
            dw[5 - j][p] += value * b[j][p];
            dw[8 - j][p] += value * a[j][p];
          }
        });
      }
    } else {
      // Rows 2i, 2i + 1 and columns 2j, 2j + 1 meet dy at (i, j), (i, j + 1), (i + 1, j), (i + 1, j + 1)
      // of its tile: even positions taps 0 and 2, odd ones tap 1.
      float a[P], b[P], d[P], e[P], da[P];
      dy_at(0, lane.column, d);
      dy_at(0, lane.column + 1, e);
      for (int i = 0; i < t.rows / 2; ++i) {
        for (int p = 0; p < P; ++p) a[p] = d[p], b[p] = e[p];
        dy_at(i + 1, lane.column, d);
        dy_at(i + 1, lane.column + 1, e);
        const int row = 2 * i, col = 2 * lane.column;
        for (int p = 0; p < P; ++p)
          da[p] = e[p] * taps[0][p] + d[p] * taps[2][p] + b[p] * taps[6][p] + a[p] * taps[8][p];
        pixel(row, col, da, [&](int p, float value) {
          dw[0][p] += value * e[p], dw[2][p] += value * d[p], dw[6][p] += value * b[p], dw[8][p] += value * a[p];
        });
        for (int p = 0; p < P; ++p) da[p] = e[p] * taps[1][p] + b[p] * taps[7][p];
        pixel(row, col + 1, da, [&](int p, float value) { dw[1][p] += value * e[p], dw[7][p] += value * b[p]; });
        for (int p = 0; p < P; ++p) da[p] = e[p] * taps[3][p] + d[p] * taps[5][p];
        pixel(row + 1, col, da, [&](int p, float value) { dw[3][p] += value * e[p], dw[5][p] += value * d[p]; });
        for (int p = 0; p < P; ++p) da[p] = e[p] * taps[4][p];
        pixel(row + 1, col + 1, da, [&](int p, float value) { dw[4][p] += value * e[p]; });
      }
    }
  }

  float* const shared = shared_memory<float>();
  float* const out = partial + int64_t(blockIdx.y) * 11 * t.C + lane.c;
  sum_columns<11>(
      shared, t, lane,
      [&](int k, int p) {  // constant indices only: dw stays in registers
        float value = k == 9 ? s1[p] : s2[p];
#pragma unroll
        for (int j = 0; j < 9; ++j) value = k == j ? dw[j][p] : value;
        return value;
      },
      [&](int k, int p, float sum) { out[k * t.C + p] = sum; });
}

// The blocks, the threads and the tiling for tiles of at most kTile columns; a thread takes
// `per_thread` columns.
template <class T, int V, int P>
struct Plan {
  Tiling tiling;
  dim3 blocks, threads;
  Plan(const DepthwiseShape& s, int64_t height, int64_t width, int tile, int per_thread) {
    constexpr int64_t kChannels = kChannelBytes / sizeof(T) < kPairs * P ? kChannelBytes / sizeof(T) : kPairs * P;
    const int64_t vectors = ceil_div(s.C, V), most = kChannels / V;
    const int64_t groups = ceil_div(vectors, most), channels = ceil_div(vectors, groups) * V;
    const auto tile_of = [&](int64_t size) {
      const int64_t even = ceil_div(size, per_thread) * per_thread;
      return even < tile ? even : tile;
    };
    const int64_t rows = tile_of(height), cols = tile_of(width), down = ceil_div(height, rows),
                  across = ceil_div(width, cols);
    tiling = {int(s.H),    int(s.W),    int(s.out_h()),          int(s.out_w()), int(s.top),
              int(s.left), s.C,         int(channels),           int(rows),      int(cols),
              int(down),   int(across), int(s.N * down * across)};
    const int64_t wanted = tiling.count, limit = kBlocks / groups > 1 ? kBlocks / groups : 1;
    blocks = dim3(unsigned(groups), unsigned(wanted < limit ? wanted : limit));
    threads = dim3(unsigned(channels / P * (cols / per_thread)));
  }
};

template <class T, int V, int P, int S>
void forward(const T* x, const Norm* before, const float* w, const DepthwiseShape& s, T* y, const Statistics* after,
             float* workspace, Stream stream, const Norm* tail) {
  const Plan<T, V, P> plan(s, s.out_h(), s.out_w(), S == 1 ? kTile : kTile / 2, 1);
  const Tiling& t = plan.tiling;
  const size_t channels = size_t(t.channels);
  const size_t tile = channels * (((t.rows - 1) * S + 3) * ((t.cols - 1) * S + 3) * sizeof(float) + sizeof(Affine));
  const size_t moments = channels * t.cols * sizeof(Moments);
  launch(depthwise_forward_kernel<T, V, P, S>, plan.blocks, plan.threads, tile > moments ? tile : moments, stream, x,
         before_of(before), w, t, y, after ? workspace : nullptr, tail ? tail->beta : nullptr,
         bounds_of(tail ? tail->act : Act::none));
  if (after) finish_moments(workspace, plan.blocks.y, s.C, *after, stream);
}

template <class T, int V, int P, int S>
void backward(const T* dy, const NormGrad* after, const T* x, const Norm* before, const float* w,
              const DepthwiseShape& s, T* dx, float* dw, float* dgamma, float* dbeta, float* workspace, Stream stream) {
  // At stride 2 tiles cover the image from the even padded position at or before its first pixel.
  const int64_t extra_h = S == 1 ? 0 : s.top % 2, extra_w = S == 1 ? 0 : s.left % 2;
  const Plan<T, V, P> plan(s, s.H + extra_h, s.W + extra_w, kTile, S);
  const Tiling& t = plan.tiling;
  After a{};
  if (after) {
    const Norm& n = after->norm;
    a = {after->y,     n.mean,           n.rstd,
         n.gamma,      n.beta,           after->dgamma,
         after->dbeta, bounds_of(n.act), float(s.N * s.out_h() * s.out_w())};
  }
  const size_t channels = size_t(t.channels), border = S == 1 ? 2 : 1;
  const size_t tiles = channels * sizeof(T) * ((t.rows / S + border) * (t.cols / S + border) + t.rows * t.cols);
  const size_t shared = (tiles + 15) / 16 * 16 + channels * sizeof(AfterChannel);
  const size_t sums = channels * (t.cols / S) * sizeof(float);
  launch(depthwise_backward_kernel<T, V, P, S>, plan.blocks, plan.threads, shared > sums ? shared : sums, stream, dy, a,
         x, before_of(before), w, t, dx, workspace);
  if (dw) finish_sums(workspace, plan.blocks.y, 11 * s.C, 9, s.C, nullptr, dw, 9, 1, stream);
  if (!before) return;
  finish_sums(workspace + 9 * s.C, plan.blocks.y, 11 * s.C, 1, s.C, nullptr, dbeta, 1, 0, stream);
  finish_sums(workspace + 10 * s.C, plan.blocks.y, 11 * s.C, 1, s.C, before->rstd, dgamma, 1, 0, stream);
}

template <class T>
void forward_any(const T* x, const Norm* before, const float* w, const DepthwiseShape& s, T* y, const Statistics* after,
                 float* workspace, Stream stream, const Norm* tail) {
  const bool vector = vectorizable<T>(s.C, x, y);
  const auto run = s.stride == 1 ? (vector ? forward<T, kVector<T>, 2, 1> : forward<T, 1, 1, 1>)
                                 : (vector ? forward<T, kVector<T>, 2, 2> : forward<T, 1, 1, 2>);
  run(x, before, w, s, y, after, workspace, stream, tail);
}

template <class T>
void backward_any(const T* dy, const NormGrad* after, const T* x, const Norm* before, const float* w,
                  const DepthwiseShape& s, T* dx, float* dw, float* dgamma, float* dbeta, float* workspace,
                  Stream stream) {
  const bool vector = vectorizable<T>(s.C, dy, x, dx, after ? after->y : nullptr);
  const auto run = s.stride == 1 ? (vector ? backward<T, kVector<T>, 2, 1> : backward<T, 1, 1, 1>)
                                 : (vector ? backward<T, kVector<T>, 2, 2> : backward<T, 1, 1, 2>);
  run(dy, after, x, before, w, s, dx, dw, dgamma, dbeta, workspace, stream);
}

}  // namespace

void depthwise_forward(Type type, const void* x, const Norm* before, const float* w, const DepthwiseShape& s, void* y,
                       const Statistics* after, float* workspace, Stream stream, const Norm* tail) {
  if (type == Type::float32)
    forward_any(static_cast<const float*>(x), before, w, s, static_cast<float*>(y), after, workspace, stream, tail);
  else
    forward_any(static_cast<const bfloat16*>(x), before, w, s, static_cast<bfloat16*>(y), after, workspace, stream,
                tail);
}

void depthwise_backward(Type type, const void* dy, const NormGrad* after, const void* x, const Norm* before,
                        const float* w, const DepthwiseShape& s, void* dx, float* dw, float* dgamma, float* dbeta,
                        float* workspace, Stream stream) {
  if (type == Type::float32)
    backward_any(static_cast<const float*>(dy), after, static_cast<const float*>(x), before, w, s,
                 static_cast<float*>(dx), dw, dgamma, dbeta, workspace, stream);
  else
    backward_any(static_cast<const bfloat16*>(dy), after, static_cast<const bfloat16*>(x), before, w, s,
                 static_cast<bfloat16*>(dx), dw, dgamma, dbeta, workspace, stream);
}

}  // namespace mnv2::cuda
