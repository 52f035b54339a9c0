// See weights.h.
#include "state/weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <sstream>

namespace mnv2 {

void WeightStore::set(const std::string& name, const at::Tensor& value) {
  c10::InferenceMode off(false);
  at::NoGradGuard no_grad;
  auto found = values_.find(name);
  if (found == values_.end()) {
    // cuDNN wants filters in the layout of its feature maps; on the CPU oneDNN packs them anyway.
    const bool filter = device.is_cuda() && value.dim() == 4;
    auto copy = at::empty(value.sizes(), value.options().device(device),
                          filter ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
    copy.copy_(value);
    values_.emplace(name, copy);
    std::lock_guard<std::mutex> lock(names_mutex_);
    order_.push_back(name);
  } else {
    if (found->second.sizes() != value.sizes()) {
      std::ostringstream text;
      text << "'" << name << "': expected shape " << found->second.sizes() << ", got " << value.sizes();
      throw Failure("USAGE", text.str());
    }
    found->second.copy_(value);
  }
  touch();
}

const at::Tensor& WeightStore::get(const std::string& name) const {
  auto found = values_.find(name);
  if (found == values_.end()) {
    throw Failure("USAGE",
                  "the graph needs the parameter '" + name +
                      "', which these weights do not hold; compile with the weights made by Weights.init(model)");
  }
  return found->second;
}

std::vector<std::string> WeightStore::names() const {
  std::lock_guard<std::mutex> lock(names_mutex_);
  return order_;
}

}  // namespace mnv2
