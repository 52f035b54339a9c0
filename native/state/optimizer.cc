// SGD, Adam, AdamW, RMSprop. On the CPU one fused pass over each parameter; on a device ATen ops without host reads.
#include "state/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/Parallel.h>

#include <cmath>

namespace mnv2 {
namespace {

constexpr const char* kUpdates = "optimizer.updates";

std::string slot_name(const std::string& parameter, const std::string& slot) {
  return "optimizer." + parameter + "." + slot;
}

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

Optimizer::Optimizer(const UpdateSpec& spec, const std::vector<TrainedParameter>& parameters,
                     std::shared_ptr<NamedTensors> weights, std::shared_ptr<NamedTensors> state)
    : update_(spec), weights_(std::move(weights)), state_(std::move(state)) {
  const bool adam = spec_.kind == "adam" || spec_.kind == "adamw";
  if (adam)
    momentum_ = "firstMoment", square_ = "secondMoment";
  else if (spec_.momentum > 0)
    momentum_ = "momentum";
  if (spec_.kind == "rmsprop") square_ = "squareAverage";
  for (const auto& p : parameters) {
    names_.push_back(p.name);
    for (const auto& slot : {momentum_, square_}) {
      if (!slot.empty()) state_->declare(slot_name(p.name, slot), p.shape, p.dtype, state_->device);
    }
  }
  state_->declare(kUpdates, {}, at::kLong, at::kCPU);
}

int64_t& Optimizer::updates() { return *state_->get(kUpdates).data_ptr<int64_t>(); }

void Optimizer::announce(double lr) {
  rate_ = lr;
  step_ = updates() + 1;
  if (weights_->device.is_cpu()) return;
  if (!device_rate_.defined()) {
    const auto scalar = at::TensorOptions().dtype(at::kFloat).device(weights_->device);
    device_rate_ = at::empty({}, scalar);
    device_step_ = at::empty({}, scalar);
  }
  device_rate_.fill_(lr);
  device_step_.fill_(step_);
}

void Optimizer::count() { updates() = step_; }

void Optimizer::update(const std::vector<at::Tensor>& gradients) {
  at::NoGradGuard no_grad;
  for (size_t i = slots_.size(); i < names_.size(); i++) {
    auto slot = [&](const std::string& slot) {
      return slot.empty() ? at::Tensor() : state_->get(slot_name(names_[i], slot));
    };
    const auto factor = update_.rates.find(names_[i]);
    slots_.push_back({weights_->get(names_[i]), slot(momentum_), slot(square_),
                      factor == update_.rates.end() ? 1 : factor->second,
                      update_.undecayed.count(names_[i]) ? 0 : spec_.weight_decay});
  }
  for (size_t i = 0; i < names_.size(); i++) {
    if (!gradients[i].defined()) continue;
    if (weights_->device.is_cpu())
      on_host(slots_[i], gradients[i]);
    else
      on_device(slots_[i], gradients[i]);
  }
}

void Optimizer::on_host(Slots& slots, const at::Tensor& gradient) const {
  auto& [p, m, v, factor, own_decay] = slots;
  const auto& s = spec_;
  const float rate = rate_ * factor, decay = own_decay, mu = s.momentum;
  if (s.kind == "sgd" && !m.defined()) {
    each(p, gradient, m, v, [=](float& w, float g, float&, float&) { w -= rate * (g + decay * w); });
  } else if (s.kind == "sgd") {
    const bool nesterov = s.nesterov;
    each(p, gradient, m, v, [=](float& w, float g, float& velocity, float&) {
      g += decay * w;
      velocity = mu * velocity + g;
      w -= rate * (nesterov ? g + mu * velocity : velocity);
    });
  } else if (s.kind == "rmsprop") {
    const float alpha = s.alpha, eps = s.eps;
    const bool inside = s.eps_inside_sqrt, heavy = m.defined();
    each(p, gradient, m, v, [=](float& w, float g, float& velocity, float& square) {
      g += decay * w;
      square = alpha * square + (1 - alpha) * g * g;
      const float scaled = g / (inside ? std::sqrt(square + eps) : std::sqrt(square) + eps);
      velocity = heavy ? mu * velocity + scaled : scaled;
      w -= rate * velocity;
    });
  } else {
    const float b1 = s.beta1, b2 = s.beta2, eps = s.eps;
    const float correct1 = 1 - std::pow(s.beta1, step_), correct2 = std::sqrt(1 - std::pow(s.beta2, step_));
    const float size = rate / correct1;
    const bool decoupled = s.kind == "adamw";
    each(p, gradient, m, v, [=](float& w, float g, float& mean, float& square) {
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

void Optimizer::on_device(Slots& slots, const at::Tensor& gradient) const {
  auto& [p, m, v, factor, decay] = slots;
  const auto& s = spec_;
  const auto lr = factor == 1 ? device_rate_ : device_rate_ * factor;
  const auto& count = device_step_;
  const bool decoupled = s.kind == "adamw";
  if (decoupled && decay > 0) p.sub_(p * (lr * decay));
  auto g = decay > 0 && !decoupled ? gradient + p * decay : gradient;
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

}  // namespace mnv2
