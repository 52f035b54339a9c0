// WeightStore: named parameters and buffers on one device. Touched by the engine thread only, names excepted.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "errors.h"

namespace mnv2 {

class WeightStore {
 public:
  explicit WeightStore(at::Device device) : device(device) {}
  const at::Device device;

  /** Creates or overwrites in place: programs that run meanwhile see the new values at their next step. */
  void set(const std::string& name, const at::Tensor& value);
  const at::Tensor& get(const std::string& name) const;
  bool has(const std::string& name) const { return values_.count(name) > 0; }
  std::vector<std::string> names() const;

  /** Changes whenever a value may have changed; folded weights are remade when it differs. */
  uint64_t version() const { return version_; }
  void touch() { version_++; }

 private:
  std::map<std::string, at::Tensor> values_;
  std::vector<std::string> order_;  // as first set: a checkpoint is written in the model's order
  mutable std::mutex names_mutex_;
  uint64_t version_ = 1;
};

}  // namespace mnv2
