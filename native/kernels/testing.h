// What the kernels' stand-alone tests share: random data, poisoned buffers, comparison, a plain
// thread team. Test code only; not part of the addon.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/loops.h"

namespace mnv2::testing {

inline std::mt19937& rng() {
  static std::mt19937 engine(20180113);
  return engine;
}
inline double normal(double mean = 0, double std = 1) { return std::normal_distribution<double>(mean, std)(rng()); }

template <class T>
const char* type_name() {
  return sizeof(T) == 4 ? "fp32" : "bf16";
}
// Half a unit in the last place of T, relative: what one rounding to T may cost.
template <class T>
double rounding() {
  return sizeof(T) == 4 ? 6.0e-8 : 1.0 / 256;
}

template <class T>
std::vector<T> random_tensor(int64_t n, double mean = 0, double std = 1) {
  std::vector<T> v(n);
  for (T& e : v) e = narrow<T>(static_cast<float>(normal(mean, std)));
  return v;
}
// A kernel must write every element of its outputs: they start as NaN.
template <class T>
std::vector<T> poisoned(int64_t n) {
  return std::vector<T>(n, narrow<T>(std::numeric_limits<float>::quiet_NaN()));
}
template <class T>
std::vector<double> exactly(const std::vector<T>& v) {
  std::vector<double> d(v.size());
  for (size_t i = 0; i < v.size(); ++i) d[i] = widen(v[i]);
  return d;
}

// `threads` threads over uneven parts, so that partitions differ between thread counts.
inline Parallel team(int threads) {
  return [threads](int64_t n, const std::function<void(int64_t, int64_t)>& body) {
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t) {
      const int64_t begin = n * t / threads, end = n * (t + 1) / threads;
      if (begin < end) running.emplace_back(body, begin, end);
    }
    for (auto& thread : running) thread.join();
  };
}

// The largest |got - want| / (|want| + scale), where scale is the tensor's own size unless given.
// NaN anywhere is infinite error.
template <class T>
double error_of(const std::vector<T>& got, const std::vector<double>& want, double scale = 0) {
  if (got.size() != want.size()) return INFINITY;
  if (scale == 0) {
    for (double w : want) scale += w * w;
    scale = std::sqrt(scale / std::max<size_t>(want.size(), 1)) + 1e-30;
  }
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double e = std::abs(static_cast<double>(widen(got[i])) - want[i]) / (std::abs(want[i]) + scale);
    if (!(e <= worst)) worst = std::isnan(e) ? INFINITY : e;
  }
  return worst;
}

struct Report {
  int failed = 0;
  // One printed line a case: its name and, for each quantity, error and bound.
  void line(const std::string& name, std::initializer_list<std::tuple<const char*, double, double>> checks) {
    bool ok = true;
    std::string text;
    for (const auto& [what, error, bound] : checks) {
      const bool within = error <= bound;
      ok = ok && within;
      char piece[96];
      std::snprintf(piece, sizeof piece, "  %s %.1e%s", what, error, within ? "" : " TOO LARGE");
      text += piece;
    }
    std::printf("%s %s%s\n", ok ? "ok  " : "FAIL", name.c_str(), text.c_str());
    failed += !ok;
  }
  int exit_code() const {
    std::printf("%s\n", failed ? "FAILED" : "all passed");
    return failed ? 1 : 0;
  }
};

}  // namespace mnv2::testing
