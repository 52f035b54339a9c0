// Holds depthwise 3x3 to a plain double-precision convolution and its transposes.
// Stand-alone: c++ -std=c++17 -O2 depthwise_test.cc depthwise.cc -pthread
#include "kernels/depthwise.h"

#include <stdexcept>

#include "kernels/reference.h"
#include "kernels/testing.h"

using namespace mnv2;
using namespace mnv2::testing;

namespace {

template <class T>
void check(Report& report, const DepthwiseShape& s) {
  const int64_t nx = s.N * s.H * s.W * s.C, nw = s.C * 9, ny = s.N * s.out_h() * s.out_w() * s.C;
  const auto x = random_tensor<T>(nx, 0.3, 1), w = random_tensor<T>(nw), dy = random_tensor<T>(ny);
  const Vec X = exactly(x), Wt = exactly(w), G = exactly(dy);
  Vec want_y(ny), want_dx(nx), want_dw(nw);
  each_product(s, [&](int64_t i, int64_t k, int64_t o) {
    want_y[o] += X[i] * Wt[k];
    want_dx[i] += G[o] * Wt[k];
    want_dw[k] += G[o] * X[i];
  });

  std::vector<T> y, dx, dw, first_y, first_dx, first_dw, only_dx = poisoned<T>(nx), only_dw = poisoned<T>(nw);
  bool same = true;
  for (int threads : {1, 2, 3}) {
    y = poisoned<T>(ny), dx = poisoned<T>(nx), dw = poisoned<T>(nw);
    depthwise_forward<T>(x.data(), w.data(), s, y.data(), team(threads));
    depthwise_backward<T>(dy.data(), x.data(), w.data(), s, dx.data(), dw.data(), team(threads));
    if (threads == 1) first_y = y, first_dx = dx, first_dw = dw;
    same = same && y == first_y && dx == first_dx && dw == first_dw;
  }
  depthwise_backward<T>(dy.data(), nullptr, w.data(), s, only_dx.data(), nullptr, team(1));
  depthwise_backward<T>(dy.data(), x.data(), w.data(), s, nullptr, only_dw.data(), team(1));
  same = same && only_dx == dx && only_dw == dw;

  char name[112];
  std::snprintf(name, sizeof name, "%s [%ld, %3ld, %3ld, %3ld] stride %ld pads %ld %ld %ld %ld", type_name<T>(),
                long(s.N), long(s.C), long(s.H), long(s.W), long(s.stride), long(s.top), long(s.left), long(s.bottom),
                long(s.right));
  const double bound = 2e-6 + rounding<T>();
  report.line(name, {{"y", error_of(y, want_y), bound},
                     {"dx", error_of(dx, want_dx), bound},
                     {"dw", error_of(dw, want_dw), bound},
                     {"differ", same ? 0.0 : 1.0, 0.0}});
}

template <class T>
void check_type(Report& report) {
  const int64_t channels[] = {1, 3, 16, 17, 24, 96, 144};
  for (int64_t stride : {1, 2}) {
    for (int64_t size : {1, 2, 3, 4, 7, 8, 14, 15}) {  // symmetric, TensorFlow's "SAME", none
      const int64_t C = channels[rng()() % 7], odd = stride == 2 && size % 2 == 0 ? 0 : 1;
      check<T>(report, {2, C, size, size + 3, stride, 1, 1, 1, 1});
      if (size + odd >= 2) check<T>(report, {1, C, size, size, stride, odd, odd, 1, 1});
      if (size >= 3) check<T>(report, {3, C, size, 2 * size, stride, 0, 0, 0, 0});
    }
    for (int k = 0; k < 24; ++k) {
      const auto pick = [](int64_t n) { return static_cast<int64_t>(rng()() % n); };
      check<T>(report,
               {1 + pick(3), 1 + pick(70), 3 + pick(30), 3 + pick(30), stride, pick(3), pick(3), pick(3), pick(3)});
    }
  }
  check<T>(report, {1, 960, 7, 7, 1, 1, 1, 1, 1});
  check<T>(report, {1, 32, 112, 112, 1, 1, 1, 1, 1});
  check<T>(report, {1, 96, 112, 112, 2, 1, 1, 1, 1});
}

}  // namespace

int main() {
  Report report;
  check_type<float>(report);
  check_type<bfloat16>(report);
  bool refused = false;
  const float v[9] = {};
  float out[9];
  try {
    depthwise_forward<float>(v, v, {1, 1, 3, 3, 3, 1, 1, 1, 1}, out, team(1));
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  report.line("stride 3 is refused", {{"accepted", refused ? 0.0 : 1.0, 0.0}});
  return report.exit_code();
}
