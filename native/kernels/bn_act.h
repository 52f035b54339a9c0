// BatchNorm + activation (+ residual) on channels-last rows, forward and backward, as one
// operation. Owns the arithmetic only: running statistics and autograd belong to the caller.
//
//   y = act((x - mean) * rstd * gamma + beta) + residual
//
// x, residual, y, dy, dx: [rows, C], rows = N*H*W of a channels-last [N, C, H, W] tensor, dense,
// T = float or bfloat16 (arithmetic in float). Per-channel arrays: [C] float. No two arguments
// may overlap. The residual's gradient is dy itself. rows >= 1; results do not depend on the
// number of threads.
//
//   at::Tensor x = ...contiguous(at::MemoryFormat::ChannelsLast);
//   mnv2::Parallel par = [](int64_t n, const std::function<void(int64_t, int64_t)>& body) {
//     at::parallel_for(0, n, 1, body);
//   };
//   mnv2::bn_act_forward<float>(x.data_ptr<float>(), nullptr, gamma, beta, 1e-5f, mnv2::Act::relu6,
//                               rows, C, y, mean, var, rstd, par);
//   // running_var += momentum * (var * rows / (rows - 1) - running_var), as PyTorch does
#pragma once

#include "kernels/loops.h"

namespace mnv2 {

// Training mode: statistics of this batch. Writes y, mean, the biased variance, and
// rstd = 1 / sqrt(var + eps); keep mean and rstd for the backward. residual may be null.
template <class T>
void bn_act_forward(const T* x, const T* residual, const float* gamma, const float* beta, float eps, Act act,
                    int64_t rows, int64_t C, T* y, float* mean, float* var, float* rstd, const Parallel& parallel);

// Gradient of the above through the batch's statistics. The activation's mask is recomputed
// from x. Writes dx (skipped if null), dgamma and dbeta.
template <class T>
void bn_act_backward(const T* dy, const T* x, const float* mean, const float* rstd, const float* gamma,
                     const float* beta, Act act, int64_t rows, int64_t C, T* dx, float* dgamma, float* dbeta,
                     const Parallel& parallel);

// Evaluation mode, or a frozen BatchNorm inside a trainable part: mean and rstd are given
// (rstd = 1 / sqrt(running_var + eps)) and are constants for the gradient.
template <class T>
void bn_act_eval_forward(const T* x, const T* residual, const float* mean, const float* rstd, const float* gamma,
                         const float* beta, Act act, int64_t rows, int64_t C, T* y, const Parallel& parallel);

// dx (skipped if null) = dy * mask * gamma * rstd; dgamma and dbeta both null skips their sums.
template <class T>
void bn_act_eval_backward(const T* dy, const T* x, const float* mean, const float* rstd, const float* gamma,
                          const float* beta, Act act, int64_t rows, int64_t C, T* dx, float* dgamma, float* dbeta,
                          const Parallel& parallel);

}  // namespace mnv2
