// Inference: a convolution with BatchNorm folded into its filters, activation and residual add in the same primitive.
#pragma once
#include <utility>
#include <vector>

#include "exec/steps/patterns.h"

namespace mnv2 {

/** Filters and bias with a BatchNorm folded in. */
struct Folded {
  at::Tensor weight, bias;  // bias: undefined without one
};

class FusedConvolution : public Step {
 public:
  FusedConvolution(int conv, int norm, const Tail& tail)
      : Step(tail.node), conv(conv), norm(norm), act(tail.act), residual(tail.residual) {}

  const int conv, norm, act, residual;  // nodes, -1: none

  at::Tensor run(Frame& frame) override;
  std::vector<int> reads(const Graph& graph) const override;
  std::string describe(const Graph& graph) const override;
  bool keeps_weights() const override { return true; }
  void refresh(Frame& frame) override;

  /** Of this convolution's weights as they are now. */
  Folded fold(Frame& frame) const;

  /** What is kept of the weights. */
  struct Packed {
    uint64_t version = 0;
    at::Tensor weight, bias;    // folded, in the compute type; on CUDA the bias in the weights' own
    std::vector<int64_t> pads;  // [vertical, horizontal]; on CUDA all four where our depthwise kernel runs it
    // oneDNN picks a weight layout per input shape; a loop sees two: the full and the last batch.
    std::vector<std::pair<std::vector<int64_t>, at::Tensor>> by_shape;
  };
  const Packed& packed() const { return packed_; }

 private:
  at::Tensor prepacked(const at::Tensor& x, const std::vector<int64_t>& pads, const std::vector<int64_t>& stride,
                       const std::vector<int64_t>& dilation, int64_t groups);

  Packed packed_;
};

void match_fused_convolution(Draft& draft, int node);

/** True when oneDNN's fused convolutions can be reached on this build and CPU. */
bool fused_convolution_available();
/** Where our CUDA depthwise kernel runs a convolution: float32 filters, no route of libtorch's asked for. */
bool cuda_depthwise_takes(const Graph& graph, const Node& conv);

}  // namespace mnv2
