// Holds fused separable blocks to plain double-precision convolutions, one after the other.
// Stand-alone: c++ -std=c++17 -O2 separable_test.cc separable.cc -pthread
#include "kernels/separable.h"

#include <cmath>
#include <stdexcept>

#include "kernels/testing.h"

using namespace mnv2;
using namespace mnv2::testing;

namespace {

using Vec = std::vector<double>;
constexpr float kNone = std::numeric_limits<float>::infinity();

struct Conv {
  FoldedConv c;
  std::vector<float> weight, bias;
  Conv(int64_t in, int64_t out, int64_t size, int64_t stride, std::vector<int64_t> pads, float lo, float hi,
       bool depthwise = false) {
    weight = random_tensor<float>(out * (depthwise ? 1 : in) * size * size, 0,
                                  1 / std::sqrt(double(depthwise ? 1 : in) * size * size));
    bias = random_tensor<float>(out);
    c = {weight.data(), bias.data(), in, out, size, stride, pads[0], pads[1], pads[2], pads[3], lo, hi};
  }
};

struct Map {
  int64_t N, H, W, C;
  Vec v;
};

Map convolve(const Map& x, const FoldedConv& c, bool depthwise) {
  const int64_t H = (x.H + c.top + c.bottom - c.size) / c.stride + 1,
                W = (x.W + c.left + c.right - c.size) / c.stride + 1;
  Map y{x.N, H, W, c.out, Vec(x.N * H * W * c.out)};
  double* to = y.v.data();
  for (int64_t n = 0; n < x.N; n++)
    for (int64_t h = 0; h < H; h++)
      for (int64_t w = 0; w < W; w++)
        for (int64_t o = 0; o < c.out; o++) {
          double sum = c.bias ? c.bias[o] : 0;
          for (int64_t kh = 0; kh < c.size; kh++)
            for (int64_t kw = 0; kw < c.size; kw++) {
              const int64_t ih = h * c.stride - c.top + kh, iw = w * c.stride - c.left + kw;
              if (ih < 0 || iw < 0 || ih >= x.H || iw >= x.W) continue;
              const double* pixel = x.v.data() + ((n * x.H + ih) * x.W + iw) * x.C;
              const float* taps = c.weight + (kh * c.size + kw);
              if (depthwise)
                sum += pixel[o] * taps[o * c.size * c.size];
              else
                for (int64_t i = 0; i < x.C; i++) sum += pixel[i] * taps[(o * x.C + i) * c.size * c.size];
            }
          *to++ = std::min<double>(std::max<double>(sum, c.lo), c.hi);
        }
  return y;
}

template <class T>
void check(Report& report, const char* name, int64_t N, int64_t H, int64_t W, const Conv* dense, const Conv* depthwise,
           const Conv& pointwise, bool residual) {
  const int64_t channels = (dense ? dense : depthwise ? depthwise : &pointwise)->c.in;
  const auto x = random_tensor<T>(N * H * W * channels);
  Map want{N, H, W, channels, exactly(x)};
  if (dense) want = convolve(want, dense->c, false);
  if (depthwise) want = convolve(want, depthwise->c, true);
  want = convolve(want, pointwise.c, false);
  const auto add = random_tensor<T>(residual ? want.v.size() : 0);
  for (size_t i = 0; i < add.size(); i++) want.v[i] += widen(add[i]);

  const SeparableBlock block(dense ? &dense->c : nullptr, depthwise ? &depthwise->c : nullptr, pointwise.c);
  const auto out = block.out({H, W});
  std::vector<T> first;
  bool same = out.H == want.H && out.W == want.W;
  for (int threads : {1, 2, 3, 5}) {
    auto y = poisoned<T>(want.v.size());
    block.run<T>(x.data(), false, residual ? add.data() : nullptr, N, {H, W}, y.data(), threads, team(threads));
    if (threads == 1) first = y;
    same = same && y == first;
  }
  if (block.takes_planar()) {
    std::vector<T> planes(x.size()), y = poisoned<T>(want.v.size());
    for (int64_t i = 0; i < N * H * W; i++)
      for (int64_t c = 0; c < channels; c++)
        planes[(i / (H * W) * channels + c) * H * W + i % (H * W)] = x[i * channels + c];
    block.run<T>(planes.data(), true, residual ? add.data() : nullptr, N, {H, W}, y.data(), 2, team(2));
    same = same && y == first;
  }
  char text[160];
  std::snprintf(text, sizeof text, "%s %-12s [%ld, %3ld, %3ld, %3ld] -> %3ld -> [%3ld, %3ld, %3ld]%s", type_name<T>(),
                name, long(N), long(channels), long(H), long(W), long(pointwise.c.in), long(pointwise.c.out),
                long(want.H), long(want.W), residual ? " +" : "");
  report.line(text, {{"y", error_of(first, want.v), 2e-5 + rounding<T>()}, {"differ", same ? 0.0 : 1.0, 0.0}});
}

template <class T>
void check_type(Report& report) {
  const auto pick = [](int64_t n) { return static_cast<int64_t>(rng()() % n); };
  struct Case {
    int64_t N, in, mid, out, size, stride;
  };
  // MobileNetV2's blocks at 224 pixels, in batches that share images, and not.
  for (const Case& c : {Case{1, 16, 96, 24, 112, 2},
                        {2, 24, 144, 24, 56, 1},
                        {3, 24, 144, 32, 56, 2},
                        {1, 32, 192, 32, 28, 1},
                        {4, 32, 192, 64, 28, 2},
                        {3, 64, 384, 96, 14, 1},
                        {1, 96, 576, 160, 14, 2},
                        {2, 160, 960, 320, 7, 1},
                        {5, 8, 48, 8, 40, 1}}) {
    const bool odd = c.stride == 1 || pick(2);
    const Conv dense(c.in, c.mid, 1, 1, {0, 0, 0, 0}, 0, 6),
        depthwise(c.mid, c.mid, 3, c.stride, {odd, odd, 1, 1}, 0, 6, true);
    const Conv pointwise(c.mid, c.out, 1, 1, {0, 0, 0, 0}, -kNone, kNone);
    check<T>(report, "inverted", c.N, c.size, c.size, &dense, &depthwise, pointwise, c.stride == 1 && c.in == c.out);
  }
  {
    const Conv stem(3, 32, 3, 2, {0, 0, 1, 1}, 0, 6), depthwise(32, 32, 3, 1, {1, 1, 1, 1}, 0, 6, true),
        pointwise(32, 16, 1, 1, {0, 0, 0, 0}, -kNone, kNone);
    check<T>(report, "stem", 1, 224, 224, &stem, &depthwise, pointwise, false);
    check<T>(report, "stem", 3, 63, 65, &stem, &depthwise, pointwise, true);
  }
  for (int k = 0; k < 40; k++) {
    const int64_t in = 1 + pick(40), mid = 1 + pick(80), out = 1 + pick(70), N = 1 + pick(6);
    const Conv dense(in, mid, 1, 1, {0, 0, 0, 0}, 0, kNone),
        wide(in, mid, 1 + 2 * pick(3), 1 + pick(3), {pick(4), pick(4), pick(4), pick(4)}, -1, 1);
    const Conv depthwise(mid, mid, 3, 1 + pick(2), {pick(3), pick(3), pick(3), pick(3)}, -0.5f, 2, true);
    const Conv pointwise(mid, out, 1, 1, {0, 0, 0, 0}, 0, 6), alone(in, out, 1, 1, {0, 0, 0, 0}, -1, 1),
        separable(in, in, 3, 1 + pick(2), {1, 1, pick(2), pick(2)}, 0, 6, true);
    const Conv after(in, out, 1, 1, {0, 0, 0, 0}, 0, kNone);
    const int64_t H = 3 + pick(60), W = 3 + pick(60);
    check<T>(report, "inverted", N, H, W, &dense, &depthwise, pointwise, pick(2));
    check<T>(report, "k x k", N, H + 3, W + 3, &wide, &depthwise, pointwise, pick(2));
    check<T>(report, "separable", N, H, W, nullptr, &separable, after, pick(2));
    check<T>(report, "pointwise", N, H, W, nullptr, nullptr, alone, pick(2));
  }
}

}  // namespace

int main() {
  Report report;
  check_type<float>(report);
  check_type<bfloat16>(report);
  bool refused = false;
  try {
    const Conv depthwise(8, 8, 3, 3, {1, 1, 1, 1}, 0, 6, true), pointwise(8, 8, 1, 1, {0, 0, 0, 0}, 0, 6);
    SeparableBlock(nullptr, &depthwise.c, pointwise.c);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  report.line("stride 3 is refused", {{"accepted", refused ? 0.0 : 1.0, 0.0}});
  return report.exit_code();
}
