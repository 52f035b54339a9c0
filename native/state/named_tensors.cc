// See named_tensors.h.
#include "state/named_tensors.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <sstream>

namespace mnv2 {

at::Tensor NamedTensors::allocate(const Entry& e) {
  // cuDNN wants filters in the layout of its feature maps; on the CPU oneDNN packs them anyway.
  const bool filter = e.where.is_cuda() && e.shape.size() == 4;
  return at::empty(e.shape, at::TensorOptions().dtype(e.dtype).device(e.where),
                   filter ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
}

void NamedTensors::name(const std::string& name, Entry entry) {
  entries_.emplace(name, std::move(entry));
  std::lock_guard<std::mutex> lock(names_mutex_);
  order_.push_back(name);
}

void NamedTensors::declare(const std::string& name, std::vector<int64_t> shape, at::ScalarType dtype,
                           at::Device where) {
  this->name(name, {std::move(shape), dtype, where, {}});
}

NamedTensors::Entry& NamedTensors::entry(const std::string& name) {
  auto found = entries_.find(name);
  if (found != entries_.end()) return found->second;
  std::string known;
  for (size_t i = 0; i < order_.size() && i < 4; i++) known += (i ? ", " : "") + order_[i];
  if (order_.size() > 4) known += " and " + std::to_string(order_.size() - 4) + " more";
  throw Failure("USAGE", "'" + name + "': expected " + (known.empty() ? "no name, as this set is empty" : known));
}

void NamedTensors::set(const std::string& name, const at::Tensor& value) {
  c10::InferenceMode off(false);
  at::NoGradGuard no_grad;
  if (takes_ == Takes::any && !has(name)) this->name(name, {value.sizes().vec(), value.scalar_type(), device, {}});
  auto& e = entry(name);
  if (value.sizes() != e.shape) {
    std::ostringstream text;
    text << "'" << name << "': expected shape " << at::IntArrayRef(e.shape) << ", got " << value.sizes();
    throw Failure("USAGE", text.str());
  }
  if (!e.value.defined()) e.value = allocate(e);
  e.value.copy_(value);
  touch();
}

const at::Tensor& NamedTensors::get(const std::string& name) {
  auto& e = entry(name);
  if (!e.value.defined()) {
    c10::InferenceMode off(false);
    e.value = allocate(e).zero_();
  }
  return e.value;
}

void NamedTensors::copy_from(NamedTensors& other) {
  if (&other == this) return;
  for (const auto& name : other.names()) set(name, other.get(name));
}

std::vector<std::string> NamedTensors::names() const {
  std::lock_guard<std::mutex> lock(names_mutex_);
  return order_;
}

}  // namespace mnv2
