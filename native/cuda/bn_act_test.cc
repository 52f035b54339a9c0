// Holds bn_act.cu, run block by block on emulated_grid.h, to double precision. Not for a card.
#include "cuda/kernels.h"

#include "kernels/reference.h"
#include "kernels/testing.h"

using namespace mnv2;
using namespace mnv2::testing;
using mnv2::cuda::Norm;
using mnv2::cuda::Statistics;

namespace {

template <class T>
void check(Report& report, int64_t rows, int64_t C, Act act, bool with_residual, bool misaligned, bool train = true) {
  const auto type = sizeof(T) == 4 ? cuda::Type::float32 : cuda::Type::bfloat16;
  const int64_t n = rows * C, skew = misaligned ? 1 : 0;
  auto x = random_tensor<T>(n, 0.5, 2), dy = random_tensor<T>(n);
  const auto residual = random_tensor<T>(with_residual ? n : 0);
  const auto gamma = random_tensor<float>(C, 1.5, 0.5), beta = random_tensor<float>(C, 1, 1);
  const auto old_mean = random_tensor<float>(C), old_var = random_tensor<float>(C, 2, 0.1);
  auto mean = random_tensor<float>(C), rstd = random_tensor<float>(C, 1, 0.1), var = poisoned<float>(C);
  Problem p{rows, C, act, 1e-5, train, exactly(x), exactly(residual), exactly(gamma), exactly(beta), exactly(mean), {}};
  for (float r : rstd) p.var.push_back(1 / (double(r) * r) - p.eps);
  const Forward want = reference(p);
  for (int64_t i = 0; i < n; ++i)  // beside a kink the mask is a matter of rounding
    if (std::abs(want.pre[i]) < 1e-2 || std::abs(want.pre[i] - 6) < 1e-2) dy[i] = narrow<T>(0.f);
  const Grads want_grads = reference_backward(p, want, exactly(dy));
  Vec want_running_mean(C), want_running_var(C);
  for (int64_t c = 0; c < C; ++c) {
    want_running_mean[c] = 0.9 * old_mean[c] + 0.1 * want.mean[c];
    want_running_var[c] = 0.9 * old_var[c] + 0.1 * want.var[c] * rows / std::max<int64_t>(rows - 1, 1);
  }

  x.insert(x.begin(), skew, narrow<T>(0.f));
  auto y = poisoned<T>(n), dx = poisoned<T>(n);
  if (train)
    mean = poisoned<float>(C), rstd = poisoned<float>(C);
  else
    var.assign(p.var.begin(), p.var.end());
  auto dgamma = poisoned<float>(C), dbeta = poisoned<float>(C);
  auto running_mean = old_mean, running_var = old_var;
  auto workspace = poisoned<float>(cuda::workspace_floats(C));
  const Statistics statistics{mean.data(),        var.data(), rstd.data(), running_mean.data(),
                              running_var.data(), 0.1f,       1e-5f};
  const Norm norm{mean.data(), rstd.data(), gamma.data(), beta.data(), act};
  const T* skip = with_residual ? residual.data() : nullptr;
  if (train) {
    cuda::bn_act_forward(type, x.data() + skew, skip, gamma.data(), beta.data(), act, rows, C, y.data(), statistics,
                         workspace.data(), nullptr);
  } else {
    cuda::norm_act(type, x.data() + skew, skip, norm, rows, C, y.data(), nullptr);
    running_mean.assign(want_running_mean.begin(), want_running_mean.end());
    running_var.assign(want_running_var.begin(), want_running_var.end());
  }
  const auto backward = train ? cuda::bn_act_backward : cuda::bn_act_eval_backward;
  backward(type, dy.data(), x.data() + skew, norm, rows, C, dx.data(), dgamma.data(), dbeta.data(), workspace.data(),
           nullptr);

  static const char* acts[] = {"none", "relu", "relu6"};
  char name[96];
  std::snprintf(name, sizeof name, "%s %5ld x %-4ld %-5s %-8s %-5s %s", type_name<T>(), long(rows), long(C),
                acts[int(act)], with_residual ? "residual" : "", train ? "train" : "eval",
                misaligned ? "one by one" : "");
  const double exact = 2e-5, written = exact + rounding<T>();
  double dx_scale = 0;  // of one or two rows dx is the remainder of terms that cancel
  if (rows <= 2 && train)
    for (int64_t c = 0; c < C; ++c) dx_scale = std::max(dx_scale, std::abs(p.gamma[c] * want.rstd[c]));
  report.line(
      name,
      {{"y", error_of(y, want.y), written},
       {"mean", error_of(mean, want.mean), exact},
       {"var", error_of(var, want.var), exact},
       {"rstd", error_of(rstd, want.rstd), exact},
       {"running", std::max(error_of(running_mean, want_running_mean), error_of(running_var, want_running_var)), exact},
       {"dx", error_of(dx, want_grads.dx, dx_scale), written},
       {"dgamma", error_of(dgamma, want_grads.dgamma, std::sqrt(double(rows))), exact},
       {"dbeta", error_of(dbeta, want_grads.dbeta, std::sqrt(double(rows))), exact}});
}

template <class T>
void check_type(Report& report) {
  for (int64_t C : {1, 3, 17, 24, 144, 960})
    for (int64_t rows : {1, 2, 7, 129})
      check<T>(report, rows, C, static_cast<Act>((rows + C) % 3), rows % 2 == 0, false);
  for (Act act : {Act::none, Act::relu, Act::relu6})
    for (bool residual : {false, true}) {
      check<T>(report, 300 + rng()() % 3000, 8 * (1 + rng()() % 20), act, residual, false);
      check<T>(report, 300 + rng()() % 3000, 1 + rng()() % 99, act, residual, true);
      check<T>(report, 300 + rng()() % 3000, 8 * (1 + rng()() % 20), act, residual, false, false);
    }
  check<T>(report, 20011, 32, Act::relu6, false, false);
}

// What is left of a folded BatchNorm: a bias, or nothing.
template <class T>
void check_bias(Report& report, int64_t C, bool with_bias, Act act) {
  const int64_t rows = 131;
  const auto x = random_tensor<T>(rows * C, 0.5, 3), residual = random_tensor<T>(rows * C);
  const auto bias = random_tensor<float>(C, 1, 1);
  const Problem p{
      rows,   C,        act, 0, false, exactly(x), exactly(residual), Vec(C, 1), with_bias ? exactly(bias) : Vec(C),
      Vec(C), Vec(C, 1)};
  auto y = poisoned<T>(rows * C);
  const auto type = sizeof(T) == 4 ? cuda::Type::float32 : cuda::Type::bfloat16;
  cuda::norm_act(type, x.data(), residual.data(), {nullptr, nullptr, nullptr, with_bias ? bias.data() : nullptr, act},
                 rows, C, y.data(), nullptr);
  report.line(with_bias ? "a bias alone" : "an activation alone",
              {{"y", error_of(y, reference(p).y), 2e-5 + rounding<T>()}});
}

// A channel whose mean dwarfs its deviation.
void check_cancellation(Report& report) {
  const int64_t rows = 20003, C = 4;
  const auto x = random_tensor<float>(rows * C, 1000, 0.01);
  const Forward want = reference({rows, C, Act::none, 0, true, exactly(x), {}, Vec(C, 1), Vec(C, 0), Vec(C), Vec(C)});
  std::vector<float> one(C, 1.f), zero(C, 0.f), y(rows * C), mean(C), var(C), rstd(C), work(cuda::workspace_floats(C));
  cuda::bn_act_forward(cuda::Type::float32, x.data(), nullptr, one.data(), zero.data(), Act::none, rows, C, y.data(),
                       {mean.data(), var.data(), rstd.data(), nullptr, nullptr, 0, 0}, work.data(), nullptr);
  report.line("mean 1000, deviation 0.01",
              {{"mean", error_of(mean, want.mean), 1e-7}, {"var", error_of(var, want.var, 1e-30), 1e-3}});
}

}  // namespace

int main() {
  Report report;
  check_type<float>(report);
  check_type<bfloat16>(report);
  for (Act act : {Act::none, Act::relu6})
    for (bool bias : {false, true})
      check_bias<float>(report, 17, bias, act), check_bias<bfloat16>(report, 24, bias, act);
  check_cancellation(report);
  return report.exit_code();
}
