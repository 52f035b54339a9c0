// SGD, Adam, AdamW, RMSprop. On the CPU one fused pass over each parameter; on a device ATen ops without host reads.
#include "state/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/Parallel.h>

#include <cmath>

namespace mnv2 {
namespace {

/** Elements one thread takes at least: below this a parameter is updated where it stands. */
constexpr int64_t kGrain = 32768;

/** `update(w, g, m, v)` for each element, all references. */
template <class Update>
void each(at::Tensor& parameter, const at::Tensor& gradient, at::Tensor& first, at::Tensor& second, Update update) {
  const auto dense = gradient.contiguous();
  float* w = parameter.data_ptr<float>();
  const float* g = dense.data_ptr<float>();
  float none = 0;
  float* m = first.defined() ? first.data_ptr<float>() : nullptr;
  float* v = second.defined() ? second.data_ptr<float>() : nullptr;
  at::parallel_for(0, parameter.numel(), kGrain, [&](int64_t begin, int64_t end) {
    if (m && v) {
      for (int64_t i = begin; i < end; i++) update(w[i], g[i], m[i], v[i]);
    } else if (m) {
      for (int64_t i = begin; i < end; i++) update(w[i], g[i], m[i], none);
    } else if (v) {
      for (int64_t i = begin; i < end; i++) update(w[i], g[i], none, v[i]);
    } else {
      for (int64_t i = begin; i < end; i++) update(w[i], g[i], none, none);
    }
  });
}

}  // namespace

Optimizer::Optimizer(OptimizerSpec spec, std::vector<at::Tensor> parameters)
    : spec_(std::move(spec)), parameters_(std::move(parameters)) {
  const bool adam = spec_.kind == "adam" || spec_.kind == "adamw";
  const bool first = adam || spec_.momentum > 0;
  const bool second = adam || spec_.kind == "rmsprop";
  for (const auto& p : parameters_) {
    first_.push_back(first ? at::zeros_like(p) : at::Tensor());
    second_.push_back(second ? at::zeros_like(p) : at::Tensor());
  }
}

void Optimizer::step(const std::vector<at::Tensor>& gradients, double lr) {
  at::NoGradGuard no_grad;
  count_++;
  const auto& s = spec_;
  const float rate = lr, decay = s.weight_decay, mu = s.momentum;
  for (size_t i = 0; i < parameters_.size(); i++) {
    if (!gradients[i].defined()) continue;
    auto &p = parameters_[i], &m = first_[i], &v = second_[i];
    if (s.kind == "sgd" && !m.defined()) {
      each(p, gradients[i], m, v, [=](float& w, float g, float&, float&) { w -= rate * (g + decay * w); });
    } else if (s.kind == "sgd") {
      const bool nesterov = s.nesterov;
      each(p, gradients[i], m, v, [=](float& w, float g, float& velocity, float&) {
        g += decay * w;
        velocity = mu * velocity + g;
        w -= rate * (nesterov ? g + mu * velocity : velocity);
      });
    } else if (s.kind == "rmsprop") {
      const float alpha = s.alpha, eps = s.eps;
      const bool inside = s.eps_inside_sqrt, heavy = m.defined();
      each(p, gradients[i], m, v, [=](float& w, float g, float& velocity, float& square) {
        g += decay * w;
        square = alpha * square + (1 - alpha) * g * g;
        const float scaled = g / (inside ? std::sqrt(square + eps) : std::sqrt(square) + eps);
        velocity = heavy ? mu * velocity + scaled : scaled;
        w -= rate * velocity;
      });
    } else {
      const float b1 = s.beta1, b2 = s.beta2, eps = s.eps;
      const float correct1 = 1 - std::pow(s.beta1, count_), correct2 = std::sqrt(1 - std::pow(s.beta2, count_));
      const float size = rate / correct1;
      const bool decoupled = s.kind == "adamw";
      each(p, gradients[i], m, v, [=](float& w, float g, float& mean, float& square) {
        if (decoupled)
          w -= rate * decay * w;
        else
          g += decay * w;
        mean = b1 * mean + (1 - b1) * g;
        square = b2 * square + (1 - b2) * g * g;
        w -= size * mean / (std::sqrt(square) / correct2 + eps);
      });
    }
  }
}

void Optimizer::step_on_device(const std::vector<at::Tensor>& gradients, const at::Tensor& lr,
                               const at::Tensor& count) {
  at::NoGradGuard no_grad;
  const auto& s = spec_;
  for (size_t i = 0; i < parameters_.size(); i++) {
    if (!gradients[i].defined()) continue;
    auto &p = parameters_[i], &m = first_[i], &v = second_[i];
    const bool decoupled = s.kind == "adamw";
    if (decoupled) p.sub_(p * (lr * s.weight_decay));
    auto g = s.weight_decay > 0 && !decoupled ? gradients[i] + p * s.weight_decay : gradients[i];
    if (s.kind == "sgd") {
      if (m.defined()) {
        m.mul_(s.momentum).add_(g);
        g = s.nesterov ? g + m * s.momentum : m;
      }
      p.sub_(g * lr);
    } else if (s.kind == "rmsprop") {
      v.mul_(s.alpha).add_(g * g, 1 - s.alpha);
      auto scaled = g / (s.eps_inside_sqrt ? (v + s.eps).sqrt() : v.sqrt() + s.eps);
      if (m.defined()) scaled = m.mul_(s.momentum).add_(scaled);
      p.sub_(scaled * lr);
    } else {
      m.mul_(s.beta1).add_(g, 1 - s.beta1);
      v.mul_(s.beta2).add_(g * g, 1 - s.beta2);
      const auto correct1 = 1 - at::pow(s.beta1, count), correct2 = (1 - at::pow(s.beta2, count)).sqrt();
      p.sub_(m / (v.sqrt() / correct2 + s.eps) * (lr / correct1));
    }
  }
}

}  // namespace mnv2
