// Inference: [dense,] [depthwise 3 x 3,] pointwise convolution as one pass of kernels/separable.h on the CPU, so that
// the wide tensors between them stay in cache; elsewhere its convolutions one by one.
#pragma once
#include <memory>
#include <vector>

#include "exec/steps/fused_convolution.h"

namespace mnv2 {

class SeparableBlock;

class SeparableStep : public Step {
 public:
  explicit SeparableStep(std::vector<std::unique_ptr<FusedConvolution>> parts);
  ~SeparableStep() override;

  at::Tensor run(Frame& frame) override;
  std::vector<int> reads(const Graph& graph) const override;
  std::string describe(const Graph& graph) const override;
  bool keeps_weights() const override { return true; }
  void refresh(Frame& frame) override;

 private:
  at::Tensor run_parts(Frame& frame);

  const std::vector<std::unique_ptr<FusedConvolution>> parts_;
  std::unique_ptr<const SeparableBlock> block_;  // the CPU's weights
  uint64_t version_ = 0;                         // of the weights it was made of
};

void match_separable(Draft& draft, int node);

}  // namespace mnv2
