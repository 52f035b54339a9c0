// Optimizer: one update of a list of parameters in place. The learning rate comes with each step.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "graph/graph.h"

namespace mnv2 {

class Optimizer {
 public:
  Optimizer(OptimizerSpec spec, std::vector<at::Tensor> parameters);

  /** `gradients[i]` belongs to parameter i; an undefined one leaves its parameter alone. */
  void step(const std::vector<at::Tensor>& gradients, double lr);
  /** The same with learning rate and step count on the device, so that it can be captured in a CUDA graph. */
  void step_on_device(const std::vector<at::Tensor>& gradients, const at::Tensor& lr, const at::Tensor& count);

 private:
  OptimizerSpec spec_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> first_, second_;  // momentum or first moment; square average
  int64_t count_ = 0;
};

}  // namespace mnv2
