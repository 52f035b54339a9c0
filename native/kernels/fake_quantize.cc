// See fake_quantize.h.
#include "kernels/fake_quantize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mnv2 {
namespace {

/** Values of one piece of work: sums are taken piece by piece, so that they do not depend on the number of threads. */
constexpr int64_t kPiece = 16384;

struct Piece {
  int64_t row, begin, end;
};

int64_t pieces_of_row(const FakeQuantized& q) { return (q.each + kPiece - 1) / kPiece; }

Piece piece(const FakeQuantized& q, int64_t index) {
  const int64_t row = index / pieces_of_row(q), first = index % pieces_of_row(q) * kPiece;
  return {row, row * q.each + first, row * q.each + std::min(first + kPiece, q.each)};
}

// Comparisons are written so that a NaN passes through: a training must see that it diverged.
MNV2_CLONES void forward(const float* __restrict x, float scale, float zero, float low, float high, int64_t n,
                         float* __restrict y) {
  for (int64_t i = 0; i < n; i++) {
    float q = std::nearbyint(x[i] / scale) + zero;
    q = q < low ? low : q;
    q = q > high ? high : q;
    y[i] = (q - zero) * scale;
  }
}

MNV2_CLONES void input_gradient(const float* __restrict dy, const float* __restrict x, float scale, float zero,
                                float low, float high, int64_t n, float* __restrict dx) {
  for (int64_t i = 0; i < n; i++) {
    const float q = std::nearbyint(x[i] / scale) + zero;
    dx[i] = q >= low && q <= high ? dy[i] : 0.f;
  }
}

/** Sixteen sums, so that the compiler can keep them in one register. */
MNV2_CLONES double scale_gradient(const float* __restrict dy, const float* __restrict x, float scale, float zero,
                                  float low, float high, int64_t n) {
  constexpr int kLanes = 16;
  float sums[kLanes] = {};
  auto term = [=](float g, float v) {
    const float t = v / scale, step = std::nearbyint(t), q = step + zero;
    const float inside = step - t, outside = (q < low ? low : high) - zero;
    return g * (q < low || q > high ? outside : inside);
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; lane++) sums[lane] += term(dy[i + lane], x[i + lane]);
  }
  double sum = 0;
  for (float lane : sums) sum += lane;
  for (; i < n; i++) sum += term(dy[i], x[i]);
  return sum;
}

}  // namespace

void fake_quantize_forward(const float* x, const FakeQuantized& q, float* y, const Parallel& parallel) {
  parallel(q.scales * pieces_of_row(q), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const auto p = piece(q, i);
      forward(x + p.begin, q.scale[p.row], q.zero[p.row], q.low, q.high, p.end - p.begin, y + p.begin);
    }
  });
}

void fake_quantize_backward(const float* dy, const float* x, const FakeQuantized& q, float* dx, double* dscale,
                            const Parallel& parallel) {
  const int64_t of_row = pieces_of_row(q);
  std::vector<double> sums(dscale ? q.scales * of_row : 0);
  parallel(q.scales * of_row, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const auto p = piece(q, i);
      const int64_t n = p.end - p.begin;
      const float scale = q.scale[p.row], zero = q.zero[p.row];
      if (dx) input_gradient(dy + p.begin, x + p.begin, scale, zero, q.low, q.high, n, dx + p.begin);
      if (dscale) sums[i] = scale_gradient(dy + p.begin, x + p.begin, scale, zero, q.low, q.high, n);
    }
  });
  if (!dscale) return;
  for (int64_t row = 0; row < q.scales; row++) {
    dscale[row] = 0;
    for (int64_t i = 0; i < of_row; i++) dscale[row] += sums[row * of_row + i];
  }
}

}  // namespace mnv2
