// Holds bn_act to a plain double-precision BatchNorm, itself held to finite differences.
// Stand-alone: c++ -std=c++17 -O2 bn_act_test.cc bn_act.cc -pthread
#include "kernels/bn_act.h"

#include "kernels/reference.h"
#include "kernels/testing.h"

using namespace mnv2;
using namespace mnv2::testing;

namespace {

double loss(const Problem& p, const Vec& dy) {
  const Forward f = reference(p);
  double sum = 0;
  for (size_t i = 0; i < dy.size(); ++i) sum += dy[i] * f.y[i];
  return sum;
}

// The worst relative error of the reference's gradients at a few random coordinates.
double finite_difference_error(Problem p, const Grads& g, const Vec& dy) {
  double worst = 0;
  const auto probe = [&](Vec& values, const Vec& gradient) {
    double size = 1e-3;
    for (double v : gradient) size = std::max(size, std::abs(v));
    for (int k = 0; k < 3; ++k) {
      const size_t i = rng()() % values.size();
      const double kept = values[i], h = 1e-5;
      values[i] = kept + h;
      const double up = loss(p, dy);
      values[i] = kept - h;
      const double down = loss(p, dy);
      values[i] = kept;
      worst = std::max(worst, std::abs((up - down) / (2 * h) - gradient[i]) / size);
    }
  };
  probe(p.x, g.dx);
  probe(p.gamma, g.dgamma);
  probe(p.beta, g.dbeta);
  return worst;
}

template <class T>
void check(Report& report, int64_t rows, int64_t C, Act act, bool with_residual, bool batch_statistics) {
  const int64_t n = rows * C;
  auto x = random_tensor<T>(n, 0.5, 2);
  auto residual = random_tensor<T>(with_residual ? n : 0);
  auto dy = random_tensor<T>(n);
  auto gamma = random_tensor<float>(C, 1.5, 0.5), beta = random_tensor<float>(C, 1, 1);
  auto mean = random_tensor<float>(C), rstd = random_tensor<float>(C, 1, 0.1);
  Problem p{rows,          C, act, 1e-5, batch_statistics, exactly(x), exactly(residual), exactly(gamma), exactly(beta),
            exactly(mean), {}};
  for (float r : rstd) p.var.push_back(1 / (static_cast<double>(r) * r) - p.eps);

  const Forward want = reference(p);
  // Beside a kink the mask is a matter of rounding: no gradient arrives there.
  for (int64_t i = 0; i < n; ++i)
    if (std::abs(want.pre[i]) < 1e-2 || std::abs(want.pre[i] - 6) < 1e-2) dy[i] = narrow<T>(0.f);
  const Vec dy_exact = exactly(dy);
  const Grads want_grads = reference_backward(p, want, dy_exact);

  std::vector<T> y, dx, first_y, first_dx;
  std::vector<float> var, dgamma, dbeta, first_dgamma;
  bool same = true;
  for (int threads : {1, 2, 3}) {
    const Parallel parallel = team(threads);
    y = poisoned<T>(n), dx = poisoned<T>(n);
    dgamma = poisoned<float>(C), dbeta = poisoned<float>(C), var = poisoned<float>(C);
    const T* skip = with_residual ? residual.data() : nullptr;
    if (batch_statistics) {
      mean = poisoned<float>(C), rstd = poisoned<float>(C);
      bn_act_forward<T>(x.data(), skip, gamma.data(), beta.data(), 1e-5f, act, rows, C, y.data(), mean.data(),
                        var.data(), rstd.data(), parallel);
      bn_act_backward<T>(dy.data(), x.data(), mean.data(), rstd.data(), gamma.data(), beta.data(), act, rows, C,
                         dx.data(), dgamma.data(), dbeta.data(), parallel);
    } else {
      bn_act_eval_forward<T>(x.data(), skip, mean.data(), rstd.data(), gamma.data(), beta.data(), act, rows, C,
                             y.data(), parallel);
      bn_act_eval_backward<T>(dy.data(), x.data(), mean.data(), rstd.data(), gamma.data(), beta.data(), act, rows, C,
                              dx.data(), dgamma.data(), dbeta.data(), parallel);
      var.assign(p.var.begin(), p.var.end());
    }
    if (threads == 1) first_y = y, first_dx = dx, first_dgamma = dgamma;
    same = same && y == first_y && dx == first_dx && dgamma == first_dgamma;
  }

  static const char* acts[] = {"none", "relu", "relu6"};
  char name[96];
  std::snprintf(name, sizeof name, "%s %5ld x %-4ld %-5s %-8s %s", type_name<T>(), long(rows), long(C), acts[int(act)],
                with_residual ? "residual" : "", batch_statistics ? "train" : "eval");
  const double exact = 2e-5, written = exact + rounding<T>();
  // Of one or two rows dx is the remainder of terms that cancel: measured by the terms' size.
  double dx_scale = 0;
  if (rows <= 2 && batch_statistics)
    for (int64_t c = 0; c < C; ++c) dx_scale = std::max(dx_scale, std::abs(p.gamma[c] * want.rstd[c]));
  report.line(name, {{"y", error_of(y, want.y), written},
                     {"mean", error_of(mean, want.mean), exact},
                     {"var", error_of(var, want.var), exact},
                     {"rstd", error_of(rstd, want.rstd), exact},
                     {"dx", error_of(dx, want_grads.dx, dx_scale), written},
                     {"dgamma", error_of(dgamma, want_grads.dgamma, std::sqrt(double(rows))), exact},
                     {"dbeta", error_of(dbeta, want_grads.dbeta, std::sqrt(double(rows))), exact},
                     {"reference", n > 20000 ? 0 : finite_difference_error(p, want_grads, dy_exact), 1e-5},
                     {"threads differ", same ? 0.0 : 1.0, 0.0}});
}

// Channels whose mean dwarfs their deviation, one row of zeros among them or not.
void check_cancellation(Report& report, bool outlier) {
  const int64_t rows = 100003, C = 5;
  std::vector<float> x = random_tensor<float>(rows * C, 1000, 0.01);
  if (outlier) std::fill(x.begin(), x.begin() + C, 0.f);
  Problem p{rows, C, Act::none, 0, true, exactly(x), {}, Vec(C, 1), Vec(C, 0), Vec(C), Vec(C)};
  const Forward want = reference(p);
  std::vector<float> one(C, 1.f), zero(C, 0.f), y(rows * C), mean(C), var(C), rstd(C);
  bn_act_forward<float>(x.data(), nullptr, one.data(), zero.data(), 0.f, Act::none, rows, C, y.data(), mean.data(),
                        var.data(), rstd.data(), team(2));
  report.line(outlier ? "mean 1000, deviation 0.01, one row of zeros" : "mean 1000, deviation 0.01",
              {{"mean", error_of(mean, want.mean), 1e-7}, {"var", error_of(var, want.var, 1e-30), 1e-4}});
}

// At 0 and at 6 exactly no gradient passes, as in torch's hardtanh; a NaN reaches the output and
// is not masked out of the gradient.
void check_kinks(Report& report) {
  const std::vector<float> x = {-1, 0, 3, 6, 7, std::nextafter(0.f, 1.f), std::nextafter(6.f, 0.f), NAN};
  const int64_t n = static_cast<int64_t>(x.size());
  const float one = 1, zero = 0;
  std::vector<float> dy(n, 1.f), dx(n), y(n);
  bn_act_eval_backward<float>(dy.data(), x.data(), &zero, &one, &one, &zero, Act::relu6, n, 1, dx.data(), nullptr,
                              nullptr, team(1));
  bn_act_eval_forward<float>(x.data(), nullptr, &zero, &one, &one, &zero, Act::relu6, n, 1, y.data(), team(1));
  const bool nan_kept = std::isnan(y[n - 1]) && dx[n - 1] != 0;
  dx.resize(n - 1), y.resize(n - 1);
  report.line("kinks of ReLU6", {{"mask", error_of(dx, {0, 0, 1, 0, 0, 1, 1}), 0},
                                 {"y", error_of(y, {0, 0, 3, 6, 6, 0, 6}), 1e-6},
                                 {"NaN lost", nan_kept ? 0.0 : 1.0, 0.0}});
}

template <class T>
void check_type(Report& report) {
  for (int64_t C : {1, 3, 17, 24, 144, 960})
    for (int64_t rows : {1, 2, 7, 129, 1000})
      check<T>(report, rows, C, static_cast<Act>((rows + C) % 3), rows % 2 == 0, true);
  for (Act act : {Act::none, Act::relu, Act::relu6})
    for (bool residual : {false, true})
      for (bool train : {false, true}) check<T>(report, 300 + rng()() % 9000, 1 + rng()() % 99, act, residual, train);
}

}  // namespace

int main() {
  Report report;
  check_type<float>(report);
  check_type<bfloat16>(report);
  check_cancellation(report, false);
  check_cancellation(report, true);
  check_kinks(report);
  return report.exit_code();
}
