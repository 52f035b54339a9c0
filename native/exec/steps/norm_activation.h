// BatchNorm with the activation and the residual add behind it: one pass over the tensor, with gradients.
#pragma once
#include "autograd/fused.h"
#include "exec/steps/patterns.h"

namespace mnv2 {

class NormActivation : public Step {
 public:
  NormActivation(int norm, const Tail& tail) : Step(tail.node), norm(norm), act(tail.act), residual(tail.residual) {}

  const int norm, act, residual;  // nodes, -1: none

  at::Tensor run(Frame& frame) override;
  std::vector<int> reads(const Graph& graph) const override;
  std::string describe(const Graph& graph) const override;

  /** Its activation, where the fused kernels have it: not a hardtanh. */
  static bool has_kernel(const Graph& graph, int act);
  static Act kernel_act(const Graph& graph, int act);
};

void match_norm_activation(Draft& draft, int node);

}  // namespace mnv2
