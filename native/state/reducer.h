// Reducer: the seam between gradients and update, for whoever trains one model in several places at once.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace mnv2 {

class Reducer {
 public:
  virtual ~Reducer() = default;
  /**
   * Called in every training step, on the engine's thread, with the gradients of the trained parameters `names`; what
   * is left in `gradients` is what the optimizer applies. An undefined one leaves its parameter alone. Where steps are
   * captured as CUDA graphs the call is captured too: it may only queue work on the current stream.
   */
  virtual void reduce(const std::vector<std::string>& names, std::vector<at::Tensor>& gradients) = 0;
};

}  // namespace mnv2
