// Holds the int8 blocks to plain integer convolutions, one after the other, bit for bit, on every path of this CPU.
// Stand-alone: c++ -std=c++17 -O2 quantised_test.cc quantised.cc quantised_paths.cc -pthread
#include "kernels/quantised.h"

#include <cmath>
#include <stdexcept>

#include "kernels/testing.h"

using namespace mnv2;
using namespace mnv2::testing;

namespace {

using Bytes = std::vector<uint8_t>;

int64_t pick(int64_t n) { return static_cast<int64_t>(rng()() % n); }

Bytes random_bytes(int64_t n) {
  Bytes v(n);
  for (auto& e : v) e = static_cast<uint8_t>(pick(256));
  return v;
}

struct Map {
  int64_t N, H, W, C;
  Bytes v;
};

struct Conv {
  QuantisedConv c;
  bool depthwise;
  std::vector<int8_t> weight;
  std::vector<int32_t> bias;
  std::vector<float> multiplier;

  // Multipliers spread the sums over more than the range of a byte, so that both ends are met.
  Conv(int64_t in, int64_t out, int64_t size, int64_t stride, std::vector<int64_t> pads, int32_t zero,
       bool depthwise = false)
      : depthwise(depthwise), weight(out * (depthwise ? 1 : in) * size * size), bias(out), multiplier(out) {
    for (auto& w : weight) w = static_cast<int8_t>(pick(255) - 127);
    for (auto& b : bias) b = static_cast<int32_t>(pick(200001) - 100000);
    const double products = double(depthwise ? 1 : in) * size * size;
    for (auto& m : multiplier) m = static_cast<float>((0.5 + pick(1000) / 500.0) / (127 * std::sqrt(products)));
    const int32_t a = static_cast<int32_t>(pick(256)), b = static_cast<int32_t>(pick(256));
    const bool all = pick(2);
    c = {weight.data(),
         pick(5) ? bias.data() : nullptr,
         multiplier.data(),
         in,
         out,
         size,
         stride,
         pads[0],
         pads[1],
         pads[2],
         pads[3],
         zero,
         static_cast<int32_t>(pick(256)),
         all ? 0 : std::min(a, b),
         all ? 255 : std::max(a, b)};
  }
};

int32_t rounded(float v, int32_t zero, int32_t lo, int32_t hi) {
  const double q = std::nearbyint(static_cast<double>(v)) + zero;
  return static_cast<int32_t>(std::min<double>(std::max<double>(q, lo), hi));
}

int32_t sum_at(const Map& x, const Conv& conv, int64_t n, int64_t h, int64_t w, int64_t o) {
  const auto& c = conv.c;
  int32_t sum = c.bias ? c.bias[o] : 0;
  for (int64_t kh = 0; kh < c.size; kh++)
    for (int64_t kw = 0; kw < c.size; kw++) {
      const int64_t ih = h * c.stride - c.top + kh, iw = w * c.stride - c.left + kw;
      if (ih < 0 || iw < 0 || ih >= x.H || iw >= x.W) continue;
      const uint8_t* pixel = x.v.data() + ((n * x.H + ih) * x.W + iw) * x.C;
      const int64_t channels = conv.depthwise ? 1 : x.C;
      for (int64_t i = 0; i < channels; i++)
        sum += (pixel[conv.depthwise ? o : i] - c.zero) * c.weight[((o * channels + i) * c.size + kh) * c.size + kw];
    }
  return sum;
}

Map convolve(const Map& x, const Conv& conv) {
  const auto& c = conv.c;
  const int64_t H = (x.H + c.top + c.bottom - c.size) / c.stride + 1,
                W = (x.W + c.left + c.right - c.size) / c.stride + 1;
  Map y{x.N, H, W, c.out, {}};
  for (int64_t n = 0; n < x.N; n++)
    for (int64_t h = 0; h < H; h++)
      for (int64_t w = 0; w < W; w++)
        for (int64_t o = 0; o < c.out; o++)
          y.v.push_back(static_cast<uint8_t>(
              rounded(static_cast<float>(sum_at(x, conv, n, h, w, o)) * c.multiplier[o], c.out_zero, c.lo, c.hi)));
  return y;
}

// Values near x's bytes, that round to them.
std::vector<float> floats_of(const Map& x, Scale s) {
  std::vector<float> v;
  for (uint8_t q : x.v) v.push_back(static_cast<float>(q - s.zero + (pick(80) - 40) / 100.0) * s.scale);
  return v;
}

int differing(const Bytes& got, const Bytes& want) {
  if (got.size() != want.size()) return -1;
  int count = 0;
  for (size_t i = 0; i < got.size(); i++) count += got[i] != want[i];
  return count;
}

void check(Report& report, const char* name, int64_t N, int64_t H, int64_t W, const Conv* dense, const Conv* depthwise,
           const Conv& pointwise, bool residual) {
  const auto& first = *(dense ? dense : depthwise ? depthwise : &pointwise);
  const Map x{N, H, W, first.c.in, random_bytes(N * H * W * first.c.in)};
  Map want = x;
  for (const Conv* conv : {dense, depthwise, &pointwise})
    if (conv) want = convolve(want, *conv);
  const auto other = random_bytes(residual ? want.v.size() : 0);
  // Of 16 bits, as the kernels keep them.
  const QuantisedAdd add{(1 + pick(65535)) / 32768.f, (1 + pick(65535)) / 65536.f, static_cast<int32_t>(pick(256)),
                         static_cast<int32_t>(pick(256))};
  for (size_t i = 0; i < other.size(); i++) {
    const double exact = double(want.v[i] - pointwise.c.out_zero) * add.a + double(other[i] - add.zero) * add.b;
    want.v[i] = static_cast<uint8_t>(rounded(static_cast<float>(exact), add.to, 0, 255));
  }

  int wrong = 0;
  for (const auto& path : quantised_paths()) {
    const QuantisedBlock block(dense ? &dense->c : nullptr, depthwise ? &depthwise->c : nullptr, pointwise.c,
                               quantised_path(path.c_str()));
    const auto out = block.out({H, W});
    wrong += out.H != want.H || out.W != want.W;
    const uint8_t* r = residual ? other.data() : nullptr;
    for (int threads : {1, 2, 5}) {
      Bytes y(want.v.size(), 99);
      block.run(x.v.data(), r, &add, N, {H, W}, y.data(), threads, team(threads));
      wrong += std::abs(differing(y, want.v));
    }
    if (!block.takes_floats()) continue;
    const Scale scale{0.01f + pick(100) / 100.f, first.c.zero};
    const auto floats = floats_of(x, scale);
    std::vector<float> planes(floats.size());
    for (int64_t i = 0; i < N * H * W; i++)
      for (int64_t c = 0; c < x.C; c++) planes[(i / (H * W) * x.C + c) * H * W + i % (H * W)] = floats[i * x.C + c];
    for (bool planar : {false, true}) {
      Bytes y(want.v.size(), 99);
      block.run((planar ? planes : floats).data(), planar, scale.scale, r, &add, N, {H, W}, y.data(), 2, team(2));
      wrong += std::abs(differing(y, want.v));
    }
  }
  char text[160];
  std::snprintf(text, sizeof text, "%-12s [%ld, %3ld, %3ld, %3ld] -> %3ld -> [%3ld, %3ld, %3ld]%s", name, long(N),
                long(x.C), long(H), long(W), long(pointwise.c.in), long(pointwise.c.out), long(want.H), long(want.W),
                residual ? " +" : "");
  report.line(text, {{"differing", double(wrong), 0.0}});
}

int32_t zero() { return static_cast<int32_t>(pick(3) ? pick(256) : 0); }

void check_blocks(Report& report) {
  const std::vector<int64_t> none{0, 0, 0, 0};
  struct Case {
    int64_t N, in, mid, out, size, stride;
  };
  // Shapes of MobileNetV2's blocks, narrower; the first goes row by row.
  for (const Case& c : {Case{1, 8, 96, 8, 112, 1},
                        {3, 24, 72, 16, 28, 2},
                        {3, 64, 96, 96, 14, 1},
                        {1, 96, 144, 40, 14, 2},
                        {2, 32, 48, 64, 7, 1}}) {
    const bool even = c.stride == 1 || pick(2);
    const Conv dense(c.in, c.mid, 1, 1, none, zero()),
        depthwise(c.mid, c.mid, 3, c.stride, {even, even, 1, 1}, dense.c.out_zero, true);
    const Conv pointwise(c.mid, c.out, 1, 1, none, depthwise.c.out_zero);
    check(report, "inverted", c.N, c.size, c.size, &dense, &depthwise, pointwise, c.stride == 1 && c.in == c.out);
  }
  {
    const Conv stem(3, 32, 3, 2, {0, 0, 1, 1}, zero()), depthwise(32, 32, 3, 1, {1, 1, 1, 1}, stem.c.out_zero, true),
        pointwise(32, 16, 1, 1, none, depthwise.c.out_zero);
    check(report, "stem", 1, 64, 96, &stem, &depthwise, pointwise, false);
    check(report, "stem", 3, 31, 33, &stem, &depthwise, pointwise, true);
  }
  for (int k = 0; k < 24; k++) {
    const int64_t in = 1 + pick(40), mid = 1 + pick(80), out = 1 + pick(70), N = 1 + pick(4);
    const Conv dense(in, mid, 1, 1, none, zero()),
        wide(1 + pick(7), mid, 1 + 2 * pick(3), 1 + pick(3), {pick(4), pick(4), pick(4), pick(4)}, zero());
    const std::vector<int64_t> pads{pick(3), pick(3), pick(3), pick(3)};
    const int64_t stride = 1 + pick(2);
    const Conv after_dense(mid, mid, 3, stride, pads, dense.c.out_zero, true),
        after_wide(mid, mid, 3, stride, pads, wide.c.out_zero, true),
        separable(in, in, 3, 1 + pick(2), {1, 1, 1 + pick(2), 1 + pick(2)}, zero(), true);
    const int64_t H = k % 4 ? 3 + pick(16) : 1 + pick(3), W = k % 4 ? 3 + pick(16) : 1 + pick(3);
    const Conv one(mid, out, 1, 1, none, after_dense.c.out_zero), two(mid, out, 1, 1, none, after_wide.c.out_zero),
        three(in, out, 1, 1, none, separable.c.out_zero), alone(in, out, 1, 1, none, zero());
    check(report, "inverted", N, H + 2, W + 2, &dense, &after_dense, one, pick(2));
    check(report, "k x k", N, H + 7, W + 7, &wide, &after_wide, two, pick(2));
    check(report, "separable", N, H, W, nullptr, &separable, three, pick(2));
    check(report, "pointwise", N, H, W, nullptr, nullptr, alone, pick(2));
  }
}

void check_linear(Report& report, int64_t N, int64_t in, int64_t out) {
  const Conv conv(in, out, 1, 1, {0, 0, 0, 0}, zero());
  const Map x{N, 1, 1, in, random_bytes(N * in)};
  int wrong = 0;
  for (const auto& path : quantised_paths()) {
    std::vector<float> y(N * out, NAN);
    QuantisedLinear(conv.c, quantised_path(path.c_str())).run(x.v.data(), N, y.data(), team(3));
    for (int64_t i = 0; i < N * out; i++)
      wrong += y[i] != static_cast<float>(sum_at(x, conv, i / out, 0, 0, i % out)) * conv.multiplier[i % out];
  }
  report.line("linear " + std::to_string(in) + " -> " + std::to_string(out), {{"differing", double(wrong), 0.0}});
}

void check_rounding(Report& report) {
  const Scale scale{0.037f, 131};
  std::vector<float> x{0.f, INFINITY, -INFINITY, NAN, 1e30f, -1e30f, 0.5f * 0.037f, 1.5f * 0.037f};
  for (int i = 0; i < 20000; i++) x.push_back(static_cast<float>(normal(0, 3)));
  Bytes q(x.size());
  std::vector<float> back(x.size(), NAN);
  quantise(x.data(), x.size(), scale, q.data(), team(3));
  dequantise(q.data(), q.size(), scale, back.data(), team(3));
  int wrong = 0;
  for (size_t i = 0; i < x.size(); i++) {
    wrong += q[i] != (std::isnan(x[i]) ? 0 : rounded(x[i] / scale.scale, scale.zero, 0, 255));
    wrong += back[i] != static_cast<float>(q[i] - scale.zero) * scale.scale;
  }
  report.line("rounding and back", {{"differing", double(wrong), 0.0}});

  const int64_t N = 3, pixels = 49, C = 37;
  const auto bytes = random_bytes(N * pixels * C);
  Bytes mean(N * C);
  quantised_mean(bytes.data(), N, pixels, C, 17, 1.7f / pixels, 9, mean.data(), team(2));
  wrong = 0;
  for (int64_t i = 0; i < N * C; i++) {
    int32_t sum = 0;
    for (int64_t p = 0; p < pixels; p++) sum += bytes[(i / C * pixels + p) * C + i % C] - 17;
    wrong += mean[i] != rounded(static_cast<float>(sum) * (1.7f / pixels), 9, 0, 255);
  }
  report.line("mean", {{"differing", double(wrong), 0.0}});
}

bool refused(const std::function<void()>& make) {
  try {
    make();
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

}  // namespace

int main() {
  Report report;
  check_blocks(report);
  check_linear(report, 1, 1280, 21);
  check_linear(report, 11, 37, 50);
  check_rounding(report);
  Conv stride3(8, 8, 3, 3, {1, 1, 1, 1}, 0, true), pointwise(8, 8, 1, 1, {0, 0, 0, 0}, 0);
  report.line("stride 3 is refused",
              {{"accepted", refused([&] { QuantisedBlock(nullptr, &stride3.c, pointwise.c); }) ? 0.0 : 1.0, 0.0}});
  pointwise.multiplier[3] = 1e9f;
  report.line("a product outside of int32 is refused",
              {{"accepted", refused([&] { QuantisedBlock(nullptr, nullptr, pointwise.c); }) ? 0.0 : 1.0, 0.0}});
  report.line("an unknown path is refused", {{"accepted", refused([] { quantised_path("mmx"); }) ? 0.0 : 1.0, 0.0}});
  for (const auto& path : quantised_paths()) std::printf("path %s\n", path.c_str());
  return report.exit_code();
}
