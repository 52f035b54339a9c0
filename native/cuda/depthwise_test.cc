// Holds depthwise.cu, run block by block on emulated_grid.h, to double precision: alone, and
// fused with the BatchNorms before and after it. Not for a card.
#include "cuda/kernels.h"

#include "kernels/reference.h"
#include "kernels/testing.h"

using namespace mnv2;
using namespace mnv2::testing;
using mnv2::cuda::DepthwiseShape;

namespace {

// A BatchNorm's float parameters, and the reference's problem for a given input.
struct Layer {
  std::vector<float> gamma, beta, mean, var, rstd, dgamma, dbeta;
  Act act;
  Layer(int64_t C, Act a)
      : gamma(random_tensor<float>(C, 1.5, 0.5)),
        beta(random_tensor<float>(C, 1, 1)),
        mean(poisoned<float>(C)),
        var(poisoned<float>(C)),
        rstd(poisoned<float>(C)),
        dgamma(poisoned<float>(C)),
        dbeta(poisoned<float>(C)),
        act(a) {}
  cuda::Norm norm() const { return {mean.data(), rstd.data(), gamma.data(), beta.data(), act}; }
  Problem problem(const Vec& x, int64_t C) const {
    return {int64_t(x.size()) / C, C, act, 1e-5, true, x, {}, exactly(gamma), exactly(beta), Vec(C), Vec(C)};
  }
  template <class T>  // statistics of x, as the layer's own forward pass leaves them
  void settle(const std::vector<T>& x) {
    const Forward f = reference(problem(exactly(x), int64_t(gamma.size())));
    for (size_t c = 0; c < gamma.size(); ++c)
      mean[c] = float(f.mean[c]), var[c] = float(f.var[c]), rstd[c] = float(f.rstd[c]);
  }
};

// BatchNorm -> activation -> depthwise (-> BatchNorm -> activation), by any subset of the two.
template <class T>
void check(Report& report, const DepthwiseShape& s, bool with_before, bool with_after, int skew) {
  const auto type = sizeof(T) == 4 ? cuda::Type::float32 : cuda::Type::bfloat16;
  const int64_t C = s.C, nx = s.N * s.H * s.W * C, ny = s.N * s.out_h() * s.out_w() * C;
  auto x = random_tensor<T>(nx, 0.5, 2), dz = random_tensor<T>(ny);
  const auto w = random_tensor<float>(C * 9, 0, 0.5);
  Layer before(C, static_cast<Act>(rng()() % 3)), after(C, static_cast<Act>(rng()() % 3));
  before.settle(x);

  // The reference: a = act(BatchNorm(x)), y = a * w.
  const Problem first = before.problem(exactly(x), C);
  const Forward a = reference(first);
  const Vec input = with_before ? a.y : exactly(x), taps = exactly(w);
  Vec want_y(ny);
  each_product(s, [&](int64_t i, int64_t k, int64_t o) { want_y[o] += input[i] * taps[k]; });

  x.insert(x.begin(), skew, narrow<T>(0.f));
  auto y = poisoned<T>(ny), dx = poisoned<T>(nx);
  auto dw = poisoned<float>(C * 9), workspace = poisoned<float>(cuda::workspace_floats(C));
  const cuda::Norm norm = before.norm();
  const cuda::Statistics statistics{after.mean.data(), after.var.data(), after.rstd.data(), nullptr, nullptr, 0, 1e-5f};
  cuda::depthwise_forward(type, x.data() + skew, with_before ? &norm : nullptr, w.data(), s, y.data(),
                          with_after ? &statistics : nullptr, workspace.data(), nullptr);

  // Statistics and gradients are those of the y that was stored, rounded to T.
  const Problem second = after.problem(exactly(y), C);
  const Forward z = reference(second);
  double statistics_error = 0;
  Vec dy = exactly(dz);
  if (with_after) {
    statistics_error =
        std::max({error_of(after.mean, z.mean), error_of(after.var, z.var), error_of(after.rstd, z.rstd)});
    for (int64_t i = 0; i < ny; ++i)
      if (std::abs(z.pre[i]) < 1e-2 || std::abs(z.pre[i] - 6) < 1e-2) dz[i] = narrow<T>(0.f);
    const Grads g = reference_backward(second, z, exactly(dz));
    for (int64_t i = 0; i < ny; ++i) dy[i] = widen(narrow<T>(float(g.dx[i])));  // as it is kept in a tile
    for (int64_t c = 0; c < C; ++c) after.dgamma[c] = float(g.dgamma[c]), after.dbeta[c] = float(g.dbeta[c]);
  }
  Vec da(nx), want_dx(nx), want_dw(C * 9), want_dgamma(C), want_dbeta(C);
  each_product(s, [&](int64_t i, int64_t k, int64_t o) { da[i] += dy[o] * taps[k], want_dw[k] += dy[o] * input[i]; });
  for (int64_t i = 0; i < nx; ++i) want_dx[i] = !with_before || passes(before.act, a.pre[i]) ? da[i] : 0;

  const cuda::NormGrad behind{after.norm(), y.data(), after.dgamma.data(), after.dbeta.data()};
  cuda::depthwise_backward(type, dz.data(), with_after ? &behind : nullptr, x.data() + skew,
                           with_before ? &norm : nullptr, w.data(), s, dx.data(), dw.data(),
                           with_before ? before.dgamma.data() : nullptr, with_before ? before.dbeta.data() : nullptr,
                           workspace.data(), nullptr);

  for (int64_t i = 0; i < nx; ++i) {  // the sums, too, are those of the dx that was stored
    want_dbeta[i % C] += widen(dx[i]);
    want_dgamma[i % C] += widen(dx[i]) * (first.x[i] - a.mean[i % C]) * a.rstd[i % C];
  }

  // Either gradient alone is the same.
  auto only_dx = poisoned<T>(nx);
  auto only_dw = poisoned<float>(C * 9);
  const auto again = [&](T* to_dx, float* to_dw) {
    cuda::depthwise_backward(type, dz.data(), with_after ? &behind : nullptr, x.data() + skew, nullptr, w.data(), s,
                             to_dx, to_dw, nullptr, nullptr, workspace.data(), nullptr);
  };
  if (!with_before) again(only_dx.data(), nullptr), again(nullptr, only_dw.data());
  const bool same = with_before || (only_dx == dx && only_dw == dw);

  char name[128];
  std::snprintf(name, sizeof name, "%s [%ld, %3ld, %2ld, %2ld] stride %ld pads %ld %ld %ld %ld%s%s%s", type_name<T>(),
                long(s.N), long(s.C), long(s.H), long(s.W), long(s.stride), long(s.top), long(s.left), long(s.bottom),
                long(s.right), with_before ? " before" : "", with_after ? " after" : "", skew ? " one by one" : "");
  // With a BatchNorm behind, a dy beside a tie may be rounded the other way than the reference's.
  const double exact = 3e-5, written = exact + rounding<T>(), tied = with_after && sizeof(T) == 2 ? rounding<T>() : 0;
  const double many = std::sqrt(double(nx / C));
  report.line(name, {{"y", error_of(y, want_y), written},
                     {"statistics", statistics_error, exact},
                     {"dx", error_of(dx, want_dx), written + tied},
                     {"dw", error_of(dw, want_dw), exact + tied},
                     {"dgamma", with_before ? error_of(before.dgamma, want_dgamma, many) : 0, exact},
                     {"alone differ", same ? 0.0 : 1.0, 0.0},
                     {"dbeta", with_before ? error_of(before.dbeta, want_dbeta, many) : 0, exact}});
}

// As in inference: bias and activation of the convolution before while loading, its own while storing.
template <class T>
void check_folded(Report& report, const DepthwiseShape& s, Act first, Act last) {
  const auto type = sizeof(T) == 4 ? cuda::Type::float32 : cuda::Type::bfloat16;
  const int64_t C = s.C, nx = s.N * s.H * s.W * C, ny = s.N * s.out_h() * s.out_w() * C;
  const auto x = random_tensor<T>(nx, 0.5, 2);
  const auto w = random_tensor<float>(C * 9, 0, 0.5), before = random_tensor<float>(C, 1, 1),
             after = random_tensor<float>(C, 1, 1);
  const auto act = [](Act a, double v) {
    return a == Act::none ? v : std::min(std::max(v, 0.0), a == Act::relu ? INFINITY : 6.0);
  };
  Vec want(ny);
  for (int64_t o = 0; o < ny; ++o) want[o] = after[o % C];
  each_product(s, [&](int64_t i, int64_t k, int64_t o) { want[o] += act(first, widen(x[i]) + before[i % C]) * w[k]; });
  for (double& v : want) v = act(last, v);
  auto y = poisoned<T>(ny);
  auto workspace = poisoned<float>(cuda::workspace_floats(C));
  const cuda::Norm head{nullptr, nullptr, nullptr, before.data(), first},
      tail{nullptr, nullptr, nullptr, after.data(), last};
  cuda::depthwise_forward(type, x.data(), &head, w.data(), s, y.data(), nullptr, workspace.data(), nullptr, &tail);
  char name[96];
  std::snprintf(name, sizeof name, "%s folded [%ld, %3ld, %2ld, %2ld] stride %ld", type_name<T>(), long(s.N), long(s.C),
                long(s.H), long(s.W), long(s.stride));
  report.line(name, {{"y", error_of(y, want), 3e-5 + rounding<T>()}});
}

template <class T>
void check_folded_type(Report& report) {
  for (int64_t stride : {1, 2})
    for (Act first : {Act::none, Act::relu6})
      for (Act last : {Act::none, Act::relu, Act::relu6}) {
        check_folded<T>(report, {2, 24, 14, 15, stride, 1, 1, 1, 1}, first, last);
        check_folded<T>(report, {1, 13, 9, 8, stride, 0, 0, 1, 1}, first, last);
      }
}

template <class T>
void check_type(Report& report) {
  const auto pick = [](int64_t n) { return static_cast<int64_t>(rng()() % n); };
  for (int64_t stride : {1, 2}) {
    for (int64_t C : {1, 3, 17, 24, 32, 96, 144})
      check<T>(report, {1 + pick(2), C, 5 + pick(14), 5 + pick(14), stride, 1, 1, 1, 1}, true, true, 0);
    for (bool before : {false, true})
      for (bool after : {false, true})
        for (int64_t size : {3, 7, 14, 15, 29}) {  // torchvision's pads, TensorFlow's "SAME", any
          const int64_t C = 8 * (1 + pick(6)), odd = stride == 2 && size % 2 == 0 ? 0 : 1;
          check<T>(report, {2, C, size, size + 2, stride, 1, 1, 1, 1}, before, after, 0);
          check<T>(report, {1, C, size, size, stride, odd, odd, 1, 1}, before, after, 0);
          check<T>(report, {1, C, size, size + 1, stride, pick(3), pick(3), pick(3), pick(3)}, before, after,
                   size == 15);
        }
  }
  check<T>(report, {2, 960, 7, 7, 1, 1, 1, 1, 1}, true, true, 0);
  check<T>(report, {1100, 8, 3, 4, 1, 1, 1, 1, 1}, true, true, 0);  // several tiles for a block
  check<T>(report, {1100, 8, 3, 4, 2, 1, 1, 1, 1}, true, true, 0);
}

}  // namespace

int main() {
  Report report;
  check_type<float>(report);
  check_type<bfloat16>(report);
  check_folded_type<float>(report);
  check_folded_type<bfloat16>(report);
  return report.exit_code();
}
