// Folded convolutions in a row on CUDA.
#pragma once
#include <vector>

#include "exec/steps/fused_convolution.h"

namespace mnv2 {

/**
 * Convolutions each the other's only reader. cuDNN's leave bias and activation to what follows: a depthwise kernel
 * applies them while loading and its own while storing, otherwise one pass does, residual included.
 */
at::Tensor run_convolutions_on_cuda(Frame& frame, const std::vector<FusedConvolution*>& steps);

}  // namespace mnv2
