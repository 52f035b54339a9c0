// NamedTensors: values on one device by name, in the order they were named. Weights and buffers are one such set, what
// an optimizer remembers another. Touched by the engine thread only, names() excepted.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "errors.h"

namespace mnv2 {

class NamedTensors {
 public:
  /** Whether `set` makes entries, or takes declared ones alone. */
  enum class Takes { any, declared };
  explicit NamedTensors(at::Device device, Takes takes = Takes::any) : device(device), takes_(takes) {}
  const at::Device device;

  /** Names an entry of zeros; its memory is taken when somebody first asks for it, on the engine's thread. */
  void declare(const std::string& name, std::vector<int64_t> shape, at::ScalarType dtype, at::Device where);

  /** Creates or overwrites in place: programs that run meanwhile see the new values at their next step. */
  void set(const std::string& name, const at::Tensor& value);
  /** Never the caller's own: what is written to it is written to the entry. */
  const at::Tensor& get(const std::string& name);
  /** Creates or overwrites every entry `other` has; both live on one engine. */
  void copy_from(NamedTensors& other);
  bool has(const std::string& name) const { return entries_.count(name) > 0; }
  std::vector<std::string> names() const;

  /** Changes whenever a value may have changed; what is made of weights (folded filters) is remade when it differs. */
  uint64_t version() const { return version_; }
  void touch() { version_++; }

 private:
  struct Entry {
    std::vector<int64_t> shape;
    at::ScalarType dtype;
    at::Device where;
    at::Tensor value;  // undefined: declared, zeros
  };
  Entry& entry(const std::string& name);
  void name(const std::string& name, Entry entry);
  static at::Tensor allocate(const Entry& entry);

  std::map<std::string, Entry> entries_;
  std::vector<std::string> order_;  // as first named: a checkpoint is written in the model's order
  mutable std::mutex names_mutex_;
  const Takes takes_;
  uint64_t version_ = 1;
};

}  // namespace mnv2
