// The kernels of kernels.h on at::Tensors of the current CUDA stream. Owns workspaces; autograd is fused.cc's.
#pragma once
#include <ATen/core/Tensor.h>

#include "autograd/fused.h"

namespace mnv2 {

/** See norm_act. Fills mean and rstd ([C] float) for the backward; moves the running statistics in training mode. */
at::Tensor cuda_norm_act_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                 const at::Tensor& running_mean, const at::Tensor& running_var,
                                 const at::Tensor& residual, const NormAct& options, at::Tensor& mean,
                                 at::Tensor& rstd);
/** dx, dweight and dbias where they are defined; `training`: through the batch's statistics. */
void cuda_norm_act_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& mean, const at::Tensor& rstd, Act act, bool training, at::Tensor& dx,
                            at::Tensor& dweight, at::Tensor& dbias);

/** pads: [top, bottom, left, right]; weight [C, 1, 3, 3] float. */
at::Tensor cuda_depthwise_forward(const at::Tensor& x, const at::Tensor& weight, int64_t stride, at::IntArrayRef pads);
void cuda_depthwise_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                             at::IntArrayRef pads, at::Tensor& dx, at::Tensor& dweight);

/** See norm_depthwise_norm. Fills y, the convolution's output, and both norms' mean and rstd for the backward. */
at::Tensor cuda_norm_depthwise_forward(const at::Tensor& x, const TrainedNorm& before, const at::Tensor& weight,
                                       int64_t stride, at::IntArrayRef pads, const TrainedNorm& after,
                                       at::Tensor& mean_before, at::Tensor& rstd_before, at::Tensor& y,
                                       at::Tensor& mean_after, at::Tensor& rstd_after);
/** Fills the last six. */
void cuda_norm_depthwise_backward(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& weight_before,
                                  const at::Tensor& bias_before, const at::Tensor& mean_before,
                                  const at::Tensor& rstd_before, Act before, const at::Tensor& weight, int64_t stride,
                                  at::IntArrayRef pads, const at::Tensor& y, const at::Tensor& weight_after,
                                  const at::Tensor& bias_after, const at::Tensor& mean_after,
                                  const at::Tensor& rstd_after, Act after, at::Tensor& dx, at::Tensor& dweight_before,
                                  at::Tensor& dbias_before, at::Tensor& dweight, at::Tensor& dweight_after,
                                  at::Tensor& dbias_after);

/** A bias ([C] float, may be undefined) and an activation, where a BatchNorm is folded into a convolution. */
struct BiasAct {
  at::Tensor bias;
  Act act = Act::none;
};

/** act(y + bias) + residual in one pass. y, residual: channels_last; residual may be undefined. */
at::Tensor cuda_bias_act(const at::Tensor& y, const BiasAct& tail, const at::Tensor& residual);
/** Inference: tail(depthwise(before(x), weight)), bias and activation of the convolution before applied while loading.
 */
at::Tensor cuda_depthwise_folded(const at::Tensor& x, const BiasAct& before, const at::Tensor& weight, int64_t stride,
                                 at::IntArrayRef pads, const BiasAct& tail);

}  // namespace mnv2
