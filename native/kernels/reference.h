// Plain double-precision BatchNorm + activation and depthwise convolution, which the tests of the
// CPU and the CUDA kernels hold them to. Test code only; clarity is all that counts here.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/element.h"

namespace mnv2::testing {

using Vec = std::vector<double>;

struct Problem {
  int64_t rows, C;
  Act act;
  double eps;
  bool batch_statistics;
  Vec x, residual, gamma, beta, mean, var;  // mean and var: given in evaluation mode
};

inline double act_of(Act act, double v) {
  if (act == Act::none) return v;
  return act == Act::relu ? std::max(v, 0.0) : std::min(std::max(v, 0.0), 6.0);
}
inline bool passes(Act act, double v) { return act == Act::none || (v > 0 && (act == Act::relu || v < 6)); }

struct Forward {
  Vec y, pre, mean, var, rstd;
};

inline Forward reference(const Problem& p) {
  Forward f{Vec(p.x.size()), Vec(p.x.size()), p.mean, p.var, Vec(p.C)};
  for (int64_t c = 0; c < p.C; ++c) {
    if (p.batch_statistics) {
      double sum = 0, squares = 0;
      for (int64_t r = 0; r < p.rows; ++r) sum += p.x[r * p.C + c];
      f.mean[c] = sum / p.rows;
      for (int64_t r = 0; r < p.rows; ++r) squares += std::pow(p.x[r * p.C + c] - f.mean[c], 2);
      f.var[c] = squares / p.rows;
    }
    f.rstd[c] = 1 / std::sqrt(f.var[c] + p.eps);
    for (int64_t r = 0; r < p.rows; ++r) {
      const int64_t i = r * p.C + c;
      f.pre[i] = (p.x[i] - f.mean[c]) * f.rstd[c] * p.gamma[c] + p.beta[c];
      f.y[i] = act_of(p.act, f.pre[i]) + (p.residual.empty() ? 0 : p.residual[i]);
    }
  }
  return f;
}

struct Grads {
  Vec dx, dgamma, dbeta;
};

inline Grads reference_backward(const Problem& p, const Forward& f, const Vec& dy) {
  Grads g{Vec(p.x.size()), Vec(p.C), Vec(p.C)};
  for (int64_t c = 0; c < p.C; ++c) {
    for (int64_t r = 0; r < p.rows; ++r) {
      const int64_t i = r * p.C + c;
      if (!passes(p.act, f.pre[i])) continue;
      g.dbeta[c] += dy[i];
      g.dgamma[c] += dy[i] * (p.x[i] - f.mean[c]) * f.rstd[c];
    }
    for (int64_t r = 0; r < p.rows; ++r) {
      const int64_t i = r * p.C + c;
      double d = passes(p.act, f.pre[i]) ? dy[i] : 0;
      if (p.batch_statistics) d -= (g.dbeta[c] + (p.x[i] - f.mean[c]) * f.rstd[c] * g.dgamma[c]) / p.rows;
      g.dx[i] = p.gamma[c] * f.rstd[c] * d;
    }
  }
  return g;
}

// Calls visit(index into x, index into w, index into y) for every product of a depthwise
// convolution of channels-last x [N, C, H, W] with w [C, 1, 3, 3].
template <class Shape, class Visit>
void each_product(const Shape& s, const Visit& visit) {
  for (int64_t n = 0; n < s.N; ++n)
    for (int64_t oh = 0; oh < s.out_h(); ++oh)
      for (int64_t ow = 0; ow < s.out_w(); ++ow)
        for (int64_t kh = 0; kh < 3; ++kh)
          for (int64_t kw = 0; kw < 3; ++kw) {
            const int64_t ih = oh * s.stride - s.top + kh, iw = ow * s.stride - s.left + kw;
            if (ih < 0 || iw < 0 || ih >= s.H || iw >= s.W) continue;
            for (int64_t c = 0; c < s.C; ++c)
              visit(((n * s.H + ih) * s.W + iw) * s.C + c, c * 9 + kh * 3 + kw,
                    ((n * s.out_h() + oh) * s.out_w() + ow) * s.C + c);
          }
}

}  // namespace mnv2::testing
