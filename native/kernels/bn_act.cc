// BatchNorm + activation (+ residual) on channels-last rows: see bn_act.h for the contract.
//
// Every pass walks "wide rows": for a small C several rows, which lie one after the other, count
// as one row of `width` lanes, so that vectors are full and per-channel arrays are tiled once.
// Sums are kept in float over at most 128 wide rows, then folded into double.
#include "kernels/bn_act.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace mnv2 {
namespace {

constexpr int64_t kBlock = 128;     // wide rows summed in float before a fold
constexpr int64_t kMaxChunks = 64;  // units of parallel work; fixed by the shape alone
constexpr int64_t kChunkElements = 1 << 15;

struct Walk {
  int64_t rows, C;
  int64_t width;       // lanes of a wide row: a multiple of C
  int64_t wide_rows;   // full ones
  int64_t tail;        // lanes of the last, partial one
  int64_t chunk_rows;  // wide rows of one chunk
  int64_t chunks;

  Walk(int64_t rows_, int64_t C_) : rows(rows_), C(C_) {
    int64_t group = 1;
    if (C < 128) {
      const int64_t full_vectors = 16 / std::gcd(C, int64_t{16});
      group = full_vectors * ((127 + full_vectors * C) / (full_vectors * C));
    }
    width = group * C;
    wide_rows = rows / group;
    tail = (rows % group) * C;
    const int64_t wanted = std::clamp<int64_t>(rows * C / kChunkElements, 1, kMaxChunks);
    chunk_rows = std::max<int64_t>((wide_rows + wanted - 1) / wanted, 1);
    chunks = std::max<int64_t>((wide_rows + chunk_rows - 1) / chunk_rows, 1);
  }

  // body(chunk, first wide row, number of wide rows, whether the tail follows them). Chunks go
  // last to first when `reversed`: what the pass before read last is still in the cache.
  template <class Body>
  void each(const Parallel& parallel, bool reversed, const Body& body) const {
    parallel(chunks, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t chunk = reversed ? begin + end - 1 - i : i;
        const int64_t first = chunk * chunk_rows;
        body(chunk, first, std::min(chunk_rows, wide_rows - first), chunk == chunks - 1 && tail > 0);
      }
    });
  }

  std::vector<float> tiled(const float* per_channel) const {
    std::vector<float> lanes(width);
    for (int64_t j = 0; j < width; ++j) lanes[j] = per_channel[j % C];
    return lanes;
  }
};

// s1 += x - shift, s2 += (x - shift)^2 over n rows of `width` lanes.
template <class T>
MNV2_CLONES void sum_moments(const T* __restrict x, int64_t n, int64_t width, int64_t stride,
                             const float* __restrict shift, float* __restrict s1, float* __restrict s2) {
  int64_t r = 0;
  for (; r + 4 <= n; r += 4) {  // four rows to one load and store of the sums
    const T* __restrict p = x + r * stride;
    for (int64_t j = 0; j < width; ++j) {
      const float k = shift[j];
      const float a = widen(p[j]) - k, b = widen(p[stride + j]) - k;
      const float c = widen(p[2 * stride + j]) - k, d = widen(p[3 * stride + j]) - k;
      s1[j] += (a + b) + (c + d);
      s2[j] += (a * a + b * b) + (c * c + d * d);
    }
  }
  for (; r < n; ++r) {
    const T* __restrict p = x + r * stride;
    for (int64_t j = 0; j < width; ++j) {
      const float a = widen(p[j]) - shift[j];
      s1[j] += a;
      s2[j] += a * a;
    }
  }
}

template <class T, Act A, bool kResidual>
MNV2_CLONES void write_rows(const T* __restrict x, const T* __restrict residual, int64_t n, int64_t width,
                            int64_t stride, const float* __restrict mean, const float* __restrict scale,
                            const float* __restrict beta, T* __restrict y) {
  for (int64_t r = 0; r < n; ++r, x += stride, y += stride) {
    for (int64_t j = 0; j < width; ++j) {
      float v = activate<A>((widen(x[j]) - mean[j]) * scale[j] + beta[j]);
      if (kResidual) v += widen(residual[j]);
      y[j] = narrow<T>(v);
    }
    if (kResidual) residual += stride;
  }
}

// s1 += g, s2 += g * (x - mean), where g is dy through the activation's mask.
template <class T, Act A>
MNV2_CLONES void sum_grads(const T* __restrict dy, const T* __restrict x, int64_t n, int64_t width, int64_t stride,
                           const float* __restrict mean, const float* __restrict scale, const float* __restrict beta,
                           float* __restrict s1, float* __restrict s2) {
  int64_t r = 0;
  for (; r + 2 <= n; r += 2) {
    const T* __restrict p = x + r * stride;
    const T* __restrict q = dy + r * stride;
    for (int64_t j = 0; j < width; ++j) {
      const float a = widen(p[j]) - mean[j], b = widen(p[stride + j]) - mean[j];
      const float ga = activate_grad<A>(a * scale[j] + beta[j], widen(q[j]));
      const float gb = activate_grad<A>(b * scale[j] + beta[j], widen(q[stride + j]));
      s1[j] += ga + gb;
      s2[j] += ga * a + gb * b;
    }
  }
  for (; r < n; ++r) {
    const T* __restrict p = x + r * stride;
    const T* __restrict q = dy + r * stride;
    for (int64_t j = 0; j < width; ++j) {
      const float a = widen(p[j]) - mean[j];
      const float g = activate_grad<A>(a * scale[j] + beta[j], widen(q[j]));
      s1[j] += g;
      s2[j] += g * a;
    }
  }
}

// dx = scale * g - offset - slope * (x - mean)
template <class T, Act A>
MNV2_CLONES void write_grads(const T* __restrict dy, const T* __restrict x, int64_t n, int64_t width, int64_t stride,
                             const float* __restrict mean, const float* __restrict scale, const float* __restrict beta,
                             const float* __restrict offset, const float* __restrict slope, T* __restrict dx) {
  for (int64_t r = 0; r < n; ++r, dy += stride, x += stride, dx += stride) {
    for (int64_t j = 0; j < width; ++j) {
      const float a = widen(x[j]) - mean[j];
      const float g = activate_grad<A>(a * scale[j] + beta[j], widen(dy[j]));
      dx[j] = narrow<T>(scale[j] * g - offset[j] - slope[j] * a);
    }
  }
}

std::vector<float> product(const float* a, const float* b, int64_t C) {
  std::vector<float> ab(C);
  for (int64_t c = 0; c < C; ++c) ab[c] = a[c] * b[c];
  return ab;
}

template <class T, Act A>
void write_all(const Walk& walk, const T* x, const T* residual, const float* mean, const float* rstd,
               const float* gamma, const float* beta, T* y, const Parallel& parallel) {
  const auto means = walk.tiled(mean), betas = walk.tiled(beta);
  const auto scales = walk.tiled(product(gamma, rstd, walk.C).data());
  const auto write = residual ? write_rows<T, A, true> : write_rows<T, A, false>;
  walk.each(parallel, true, [&](int64_t, int64_t first, int64_t n, bool has_tail) {
    const auto span = [&](int64_t row, int64_t count, int64_t lanes) {
      const int64_t at = row * walk.width;
      write(x + at, residual ? residual + at : nullptr, count, lanes, walk.width, means.data(), scales.data(),
            betas.data(), y + at);
    };
    span(first, n, walk.width);
    if (has_tail) span(first + n, 1, walk.tail);
  });
}

// dbeta = sum g, dgamma = rstd * sum g (x - mean)
template <class T, Act A>
void sum_all_grads(const Walk& walk, const T* dy, const T* x, const std::vector<float>& means,
                   const std::vector<float>& scales, const std::vector<float>& betas, const float* rstd, float* dgamma,
                   float* dbeta, const Parallel& parallel) {
  const int64_t C = walk.C, width = walk.width;
  std::vector<double> partial(walk.chunks * 2 * C, 0.0);
  walk.each(parallel, false, [&](int64_t chunk, int64_t first, int64_t n, bool has_tail) {
    double* S1 = partial.data() + chunk * 2 * C;
    double* S2 = S1 + C;
    std::vector<float> s1(width), s2(width);
    const auto block = [&](int64_t row, int64_t count, int64_t lanes) {
      std::fill(s1.begin(), s1.end(), 0.f);
      std::fill(s2.begin(), s2.end(), 0.f);
      sum_grads<T, A>(dy + row * width, x + row * width, count, lanes, width, means.data(), scales.data(), betas.data(),
                      s1.data(), s2.data());
      for (int64_t j = 0; j < lanes; j += C)
        for (int64_t c = 0; c < C; ++c) S1[c] += s1[j + c], S2[c] += s2[j + c];
    };
    for (int64_t r = 0; r < n; r += kBlock) block(first + r, std::min(kBlock, n - r), width);
    if (has_tail) block(first + n, 1, walk.tail);
  });
  for (int64_t c = 0; c < C; ++c) {
    double S1 = 0, S2 = 0;
    for (int64_t k = 0; k < walk.chunks; ++k) {
      S1 += partial[k * 2 * C + c];
      S2 += partial[k * 2 * C + C + c];
    }
    dbeta[c] = static_cast<float>(S1);
    dgamma[c] = static_cast<float>(S2 * rstd[c]);
  }
}

template <class T, Act A>
void backward_all(bool batch_statistics, const T* dy, const T* x, const float* mean, const float* rstd,
                  const float* gamma, const float* beta, int64_t rows, int64_t C, T* dx, float* dgamma, float* dbeta,
                  const Parallel& parallel) {
  const Walk walk(rows, C);
  const auto scale = product(gamma, rstd, C);
  const auto means = walk.tiled(mean), scales = walk.tiled(scale.data()), betas = walk.tiled(beta);
  if (dgamma) sum_all_grads<T, A>(walk, dy, x, means, scales, betas, rstd, dgamma, dbeta, parallel);
  if (!dx) return;
  std::vector<float> offset(C, 0.f), slope(C, 0.f);
  if (batch_statistics) {  // what dx loses through the mean and through the variance
    for (int64_t c = 0; c < C; ++c) {
      offset[c] = scale[c] * dbeta[c] / static_cast<float>(rows);
      slope[c] = scale[c] * rstd[c] * dgamma[c] / static_cast<float>(rows);
    }
  }
  const auto offsets = walk.tiled(offset.data()), slopes = walk.tiled(slope.data());
  walk.each(parallel, true, [&](int64_t, int64_t first, int64_t n, bool has_tail) {
    const auto span = [&](int64_t row, int64_t count, int64_t lanes) {
      const int64_t at = row * walk.width;
      write_grads<T, A>(dy + at, x + at, count, lanes, walk.width, means.data(), scales.data(), betas.data(),
                        offsets.data(), slopes.data(), dx + at);
    };
    span(first, n, walk.width);
    if (has_tail) span(first + n, 1, walk.tail);
  });
}

template <class T>
void backward(bool batch_statistics, Act act, const T* dy, const T* x, const float* mean, const float* rstd,
              const float* gamma, const float* beta, int64_t rows, int64_t C, T* dx, float* dgamma, float* dbeta,
              const Parallel& parallel) {
  const auto run = act == Act::none   ? backward_all<T, Act::none>
                   : act == Act::relu ? backward_all<T, Act::relu>
                                      : backward_all<T, Act::relu6>;
  run(batch_statistics, dy, x, mean, rstd, gamma, beta, rows, C, dx, dgamma, dbeta, parallel);
}

// The mean and biased variance of each channel. Each block of rows is summed relative to its own
// first row, so a mean far larger than the deviation costs no precision in float; blocks meet
// in double, relative to the tensor's first row.
template <class T>
void moments(const Walk& walk, const T* x, float* mean, float* var, double eps, float* rstd, const Parallel& parallel) {
  const int64_t C = walk.C, width = walk.width;
  std::vector<double> partial(walk.chunks * 2 * C, 0.0);
  walk.each(parallel, false, [&](int64_t chunk, int64_t first, int64_t n, bool has_tail) {
    double* S1 = partial.data() + chunk * 2 * C;
    double* S2 = S1 + C;
    std::vector<float> shift(width), s1(width), s2(width);
    const auto block = [&](int64_t row, int64_t count, int64_t lanes) {
      const T* p = x + row * width;
      for (int64_t j = 0; j < lanes; ++j) shift[j] = widen(p[j]);
      std::fill(s1.begin(), s1.end(), 0.f);
      std::fill(s2.begin(), s2.end(), 0.f);
      // Row 0 differs from itself by nothing.
      sum_moments<T>(p + width, count - 1, lanes, width, shift.data(), s1.data(), s2.data());
      const double m = static_cast<double>(count);
      for (int64_t j = 0; j < lanes; j += C) {
        for (int64_t c = 0; c < C; ++c) {
          const double d = static_cast<double>(shift[j + c]) - widen(x[c]), a = s1[j + c];
          S1[c] += a + m * d;
          S2[c] += s2[j + c] + d * (2 * a + m * d);
        }
      }
    };
    for (int64_t r = 0; r < n; r += kBlock) block(first + r, std::min(kBlock, n - r), width);
    if (has_tail) block(first + n, 1, walk.tail);
  });
  for (int64_t c = 0; c < C; ++c) {
    double S1 = 0, S2 = 0;
    for (int64_t k = 0; k < walk.chunks; ++k) {
      S1 += partial[k * 2 * C + c];
      S2 += partial[k * 2 * C + C + c];
    }
    const double d = S1 / walk.rows, v = S2 / walk.rows - d * d;
    const double biased = v < 0 ? 0 : v;  // rounding only; a NaN stays
    mean[c] = static_cast<float>(widen(x[c]) + d);
    var[c] = static_cast<float>(biased);
    rstd[c] = static_cast<float>(1 / std::sqrt(biased + eps));
  }
}

}  // namespace

template <class T>
void bn_act_eval_forward(const T* x, const T* residual, const float* mean, const float* rstd, const float* gamma,
                         const float* beta, Act act, int64_t rows, int64_t C, T* y, const Parallel& parallel) {
  const auto run = act == Act::none   ? write_all<T, Act::none>
                   : act == Act::relu ? write_all<T, Act::relu>
                                      : write_all<T, Act::relu6>;
  run(Walk(rows, C), x, residual, mean, rstd, gamma, beta, y, parallel);
}

template <class T>
void bn_act_forward(const T* x, const T* residual, const float* gamma, const float* beta, float eps, Act act,
                    int64_t rows, int64_t C, T* y, float* mean, float* var, float* rstd, const Parallel& parallel) {
  moments(Walk(rows, C), x, mean, var, eps, rstd, parallel);
  bn_act_eval_forward(x, residual, mean, rstd, gamma, beta, act, rows, C, y, parallel);
}

template <class T>
void bn_act_backward(const T* dy, const T* x, const float* mean, const float* rstd, const float* gamma,
                     const float* beta, Act act, int64_t rows, int64_t C, T* dx, float* dgamma, float* dbeta,
                     const Parallel& parallel) {
  backward(true, act, dy, x, mean, rstd, gamma, beta, rows, C, dx, dgamma, dbeta, parallel);
}

template <class T>
void bn_act_eval_backward(const T* dy, const T* x, const float* mean, const float* rstd, const float* gamma,
                          const float* beta, Act act, int64_t rows, int64_t C, T* dx, float* dgamma, float* dbeta,
                          const Parallel& parallel) {
  backward(false, act, dy, x, mean, rstd, gamma, beta, rows, C, dx, dgamma, dbeta, parallel);
}

#define MNV2_INSTANTIATE(T)                                                                                         \
  template void bn_act_forward<T>(const T*, const T*, const float*, const float*, float, Act, int64_t, int64_t, T*, \
                                  float*, float*, float*, const Parallel&);                                         \
  template void bn_act_backward<T>(const T*, const T*, const float*, const float*, const float*, const float*, Act, \
                                   int64_t, int64_t, T*, float*, float*, const Parallel&);                          \
  template void bn_act_eval_forward<T>(const T*, const T*, const float*, const float*, const float*, const float*,  \
                                       Act, int64_t, int64_t, T*, const Parallel&);                                 \
  template void bn_act_eval_backward<T>(const T*, const T*, const float*, const float*, const float*, const float*, \
                                        Act, int64_t, int64_t, T*, float*, float*, const Parallel&);
MNV2_INSTANTIATE(float)
MNV2_INSTANTIATE(bfloat16)
#undef MNV2_INSTANTIATE

}  // namespace mnv2
