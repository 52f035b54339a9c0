// Fused inference: convolution with BatchNorm folded in, activation and residual add in the same primitive.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

#include "exec/plan.h"

namespace mnv2 {

/** True when oneDNN's fused convolutions can be reached on this build and CPU. */
bool fused_convolution_available();

/** Gives a fused step the place where it keeps its weights. */
void prepare(Step& step);

/**
 * Runs a fused_conv step. `value` gives a node's tensor; folded and packed weights are kept in the step and remade
 * when `version` (the weights' version) changes. x: [N, C, H, W], channels_last or not.
 */
at::Tensor run_fused_conv(const Graph& graph, Step& step, const std::function<const at::Tensor&(int)>& value,
                          uint64_t version, bool bf16);

/** The same for a separable step: one pass of kernels/separable.h on the CPU, its parts one by one elsewhere. */
at::Tensor run_separable(const Graph& graph, Step& step, const std::function<const at::Tensor&(int)>& value,
                         uint64_t version, bool bf16);

#ifdef MNV2_CUDA
/**
 * Brings the folded weights of fused steps up to `version`, in place: a captured graph goes on reading them. `stored`
 * gives parameters and constants.
 */
void refold(const Graph& graph, std::vector<Step>& steps, const std::function<const at::Tensor&(int)>& stored,
            uint64_t version, bool bf16);
#endif

}  // namespace mnv2
