// See averages.h. On a device nothing is read back, so that a step can be captured in a CUDA graph.
#include "state/averages.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace mnv2 {
namespace {
std::string average_name(const std::string& name) { return "ema." + name; }
}  // namespace

Averages::Averages(double decay, const std::vector<TrainedParameter>& averaged, std::shared_ptr<NamedTensors> weights,
                   std::shared_ptr<NamedTensors> state)
    : most_(decay), weights_(std::move(weights)), state_(std::move(state)) {
  for (const auto& t : averaged) {
    names_.push_back(t.name);
    state_->declare(average_name(t.name), t.shape, t.dtype, state_->device);
  }
}

void Averages::announce(int64_t update) {
  at::NoGradGuard no_grad;
  for (size_t i = pairs_.size(); i < names_.size(); i++)
    pairs_.emplace_back(state_->get(average_name(names_[i])), weights_->get(names_[i]));
  if (update == 1) {
    for (auto& [average, value] : pairs_) average.copy_(value);
  }
  const double n = static_cast<double>(update);
  share_ = 1 - std::min(most_, (1 + n) / (10 + n));
  if (state_->device.is_cpu()) return;
  if (!device_share_.defined())
    device_share_ = at::empty({}, at::TensorOptions().dtype(at::kFloat).device(state_->device));
  device_share_.fill_(share_);
}

void Averages::update() {
  at::NoGradGuard no_grad;
  for (auto& [average, value] : pairs_) {
    if (state_->device.is_cpu())
      average.lerp_(value, share_);
    else
      average.lerp_(value, device_share_);
  }
}

}  // namespace mnv2
