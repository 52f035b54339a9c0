// Differentiable ops of our own: BatchNorm + activation (+ residual add), and depthwise 3x3 convolution. Owns autograd
// and running statistics; the arithmetic is in kernels/ and cuda/.
#pragma once
#include <ATen/core/Tensor.h>

#include "kernels/loops.h"

namespace mnv2 {

/** How the kernels run on libtorch's threads. */
const Parallel& parallel();

struct NormAct {
  bool training;
  double momentum, eps;
  Act act;
};

/** True when the fused kernels take this input; otherwise the caller runs the ops one by one. */
bool norm_act_takes(const at::Tensor& x);

/**
 * act(batchNorm(x)) + residual. x, residual: [N, C, H, W]; the rest [C] float32. In training mode the running
 * statistics are moved in place. Works with and without grad mode.
 */
at::Tensor norm_act(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    const at::Tensor& running_mean, const at::Tensor& running_var, const at::Tensor& residual,
                    const NormAct& options);

/** True when the depthwise kernels take this convolution; otherwise libtorch's runs. pads: [top, bottom, left, right].
 */
bool depthwise_takes(const at::Tensor& x, const at::Tensor& weight, at::IntArrayRef stride, at::IntArrayRef pads,
                     at::IntArrayRef dilation);

/**
 * x: [N, C, H, W] -> [N, C, H', W'], weight: [C, 1, 3, 3] of x's dtype on the CPU, float32 on CUDA. Works with and
 * without grad mode.
 */
at::Tensor depthwise_conv(const at::Tensor& x, const at::Tensor& weight, int64_t stride, at::IntArrayRef pads);

/** A BatchNorm in training mode and the activation behind it. All [C] float32; running statistics may be moved. */
struct TrainedNorm {
  at::Tensor weight, bias, running_mean, running_var;
  double momentum, eps;
  Act act;
};

/**
 * after(depthwise(before(x))) under autograd, for what depthwise_takes: the normalised input of the convolution is not
 * kept, and on CUDA never written. Shapes as in depthwise_conv; weight as there.
 */
at::Tensor norm_depthwise_norm(const at::Tensor& x, const TrainedNorm& before, const at::Tensor& weight, int64_t stride,
                               at::IntArrayRef pads, const TrainedNorm& after);

}  // namespace mnv2
