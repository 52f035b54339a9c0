// See gradients.h. On a device nothing is read back, so that a step can be captured in a CUDA graph.
#include "state/gradients.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace mnv2 {
namespace {

constexpr const char* kImages = "optimizer.images";
constexpr const char* kNorm = "optimizer.norm";
std::string sum_name(const std::string& parameter) { return "optimizer." + parameter + ".gathered"; }

}  // namespace

Accumulator::Accumulator(const std::vector<TrainedParameter>& parameters, std::shared_ptr<NamedTensors> state)
    : state_(std::move(state)) {
  for (const auto& p : parameters) {
    names_.push_back(p.name);
    state_->declare(sum_name(p.name), p.shape, p.dtype, state_->device);
  }
  state_->declare(kImages, {}, at::kLong, at::kCPU);
}

at::Tensor& Accumulator::sum(size_t parameter) {
  for (size_t i = sums_.size(); i < names_.size(); i++) sums_.push_back(state_->get(sum_name(names_[i])));
  return sums_[parameter];
}

void Accumulator::announce(int64_t images) {
  images_ = images;
  all_ = *state_->get(kImages).data_ptr<int64_t>() + images;
  if (state_->device.is_cpu()) return;
  if (!device_images_.defined()) {
    const auto scalar = at::TensorOptions().dtype(at::kFloat).device(state_->device);
    device_images_ = at::empty({}, scalar);
    device_share_ = at::empty({}, scalar);
  }
  device_images_.fill_(images_);
  device_share_.fill_(1.0 / static_cast<double>(all_));
}

void Accumulator::add(const std::vector<at::Tensor>& gradients) {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < gradients.size(); i++) {
    if (!gradients[i].defined()) continue;
    if (state_->device.is_cpu())
      sum(i).add_(gradients[i], images_);
    else
      sum(i).add_(gradients[i] * device_images_);
  }
}

void Accumulator::take(std::vector<at::Tensor>& gradients) {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < gradients.size(); i++) {
    if (!gradients[i].defined()) continue;
    gradients[i] = state_->device.is_cpu() ? sum(i) / all_ : sum(i) * device_share_;
    sum(i).zero_();
  }
}

void Accumulator::count(bool taken) { *state_->get(kImages).data_ptr<int64_t>() = taken ? 0 : all_; }

Clip::Clip(double most, std::shared_ptr<NamedTensors> state) : most_(most), state_(std::move(state)) {
  state_->declare(kNorm, {}, at::kDouble, state_->device);
}

void Clip::apply(std::vector<at::Tensor>& gradients) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> squares;
  for (const auto& g : gradients) {
    if (g.defined()) squares.push_back((g * g).sum(at::kDouble));
  }
  if (squares.empty()) return;
  const auto norm = at::stack(squares).sum().sqrt();
  at::Tensor(state_->get(kNorm)).copy_(norm);
  const auto scale = (most_ / (norm + 1e-6)).clamp_max(1);
  if (state_->device.is_cpu()) {
    const double factor = scale.item<double>();
    if (factor == 1) return;
    for (auto& g : gradients) {
      if (g.defined()) g = g * factor;
    }
  } else {
    const auto factor = scale.to(at::kFloat);
    for (auto& g : gradients) {
      if (g.defined()) g = g * factor;
    }
  }
}

}  // namespace mnv2
