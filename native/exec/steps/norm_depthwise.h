// Training: BatchNorm and activation, a depthwise 3 x 3 convolution, BatchNorm and activation as one differentiable
// step, which does not keep (and on CUDA never writes) the normalised tensor in between.
#pragma once
#include <memory>

#include "exec/steps/norm_activation.h"

namespace mnv2 {

class NormDepthwise : public Step {
 public:
  NormDepthwise(std::unique_ptr<NormActivation> before, int conv, std::unique_ptr<NormActivation> after)
      : Step(after->node), before_(std::move(before)), conv_(conv), after_(std::move(after)) {}

  at::Tensor run(Frame& frame) override;
  std::vector<int> reads(const Graph& graph) const override;
  std::string describe(const Graph& graph) const override;

 private:
  const std::unique_ptr<NormActivation> before_;
  const int conv_;
  const std::unique_ptr<NormActivation> after_;
};

void match_norm_depthwise(Draft& draft, int node);

}  // namespace mnv2
