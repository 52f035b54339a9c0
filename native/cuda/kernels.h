// The CUDA kernels' plain functions: BatchNorm + activation (+ residual), depthwise 3x3 fused with
// its neighbours, batches from the resident image store. Free of torch and of CUDA headers; every function
// queues work on `stream` and returns, launch errors stay for cudaGetLastError(). No function
// synchronises, allocates or reads the device: all may be captured into a CUDA graph.
//
// Tensors are channels-last: [rows, C] with rows = N*H*W. Storage is float or bfloat16 (Type),
// arithmetic float, sums across blocks double in a fixed order: results are deterministic.
// Per-channel arrays are float. Pointers are device pointers; those aligned to 16 bytes with C a
// multiple of 8 (bfloat16) or 4 (float) take the 128-bit path. No two arguments may overlap.
#pragma once

#include <cstdint>

#include "data/augment.h"
#include "data/mix.h"
#include "kernels/element.h"

struct CUstream_st;

namespace mnv2::cuda {

using Stream = CUstream_st*;  // cudaStream_t
enum class Type { float32, bfloat16 };

// Where a BatchNorm's statistics go. running_mean and running_var may be null, else they take
// PyTorch's update: running += momentum * (statistic - running), the variance unbiased.
struct Statistics {
  float* mean;
  float* var;   // biased
  float* rstd;  // 1 / sqrt(var + eps)
  float* running_mean;
  float* running_var;
  float momentum, eps;
};

// A BatchNorm with known statistics, and its activation. Where it is folded into the convolution
// before it a bias is left: mean, rstd and gamma are null, and so is beta if there is none.
struct Norm {
  const float *mean, *rstd, *gamma, *beta;
  Act act;
};

// Floats of workspace that any function below needs for C channels; contents do not matter.
int64_t workspace_floats(int64_t C);

// This batch's statistics alone: the reading half of bn_act_forward.
void bn_statistics(Type, const void* x, int64_t rows, int64_t C, const Statistics&, float* workspace, Stream stream);

// y = act(BatchNorm(x)) + residual with this batch's statistics; residual may be null.
void bn_act_forward(Type, const void* x, const void* residual, const float* gamma, const float* beta, Act, int64_t rows,
                    int64_t C, void* y, const Statistics&, float* workspace, Stream stream);

// y = act((x - mean) * rstd * gamma + beta) + residual: the writing half of the above, when a
// depthwise epilogue has the statistics already, and evaluation mode.
void norm_act(Type, const void* x, const void* residual, const Norm&, int64_t rows, int64_t C, void* y, Stream stream);

// Gradient of bn_act_forward. The residual's gradient is dy itself. dx may be null.
void bn_act_backward(Type, const void* dy, const void* x, const Norm&, int64_t rows, int64_t C, void* dx, float* dgamma,
                     float* dbeta, float* workspace, Stream stream);

// Gradient of norm_act, whose mean and rstd are constants (evaluation mode, a frozen BatchNorm).
// dx may be null; dgamma and dbeta may both be null.
void bn_act_eval_backward(Type, const void* dy, const void* x, const Norm&, int64_t rows, int64_t C, void* dx,
                          float* dgamma, float* dbeta, float* workspace, Stream stream);

// The writing half of bn_act_backward, when a depthwise epilogue has dgamma and dbeta already; with an
// epilogue's masked gradient as dy, norm.act is Act::none.
void bn_act_backward_dx(Type, const void* dy, const void* x, const Norm&, const float* dgamma, const float* dbeta,
                        int64_t rows, int64_t C, void* dx, Stream stream);

// stride 1 or 2; pads from 0 to 2. y: channels-last [N, C, out_h, out_w].
struct DepthwiseShape {
  int64_t N, C, H, W, stride, top, left, bottom, right;
  int64_t out_h() const { return (H + top + bottom - 3) / stride + 1; }
  int64_t out_w() const { return (W + left + right - 3) / stride + 1; }
};

// y = depthwise3x3(act(BatchNorm(x)), w), and y's own statistics for the BatchNorm that follows.
// before (null: x is taken as it is) normalises while loading, so the normalised tensor is never
// written; after (null: none) costs no further pass over y. w: [C, 1, 3, 3] float. tail (null: none)
// is a bias and activation, applied to y before it is written.
void depthwise_forward(Type, const void* x, const Norm* before, const float* w, const DepthwiseShape&, void* y,
                       const Statistics* after, float* workspace, Stream stream, const Norm* tail = nullptr);

// The BatchNorm behind a depthwise convolution, seen from its gradient: with it, dy in
// depthwise_backward is the gradient of that BatchNorm's (and activation's) output.
struct NormGrad {
  Norm norm;
  const void* y;  // the convolution's output, as stored by depthwise_forward
  const float *dgamma, *dbeta;
};

// Both gradients of depthwise_forward in one pass over x and dy. after (null: dy is y's own
// gradient) is differentiated while loading. With before, dx is the gradient at its activation's
// input (already masked) and dgamma, dbeta are that BatchNorm's: finish with bn_act_backward_dx
// and Act::none. Without before, dx is x's gradient and dgamma, dbeta are not
// written. dx may be null, and so may dw: [C, 1, 3, 3].
void depthwise_backward(Type, const void* dy, const NormGrad* after, const void* x, const Norm* before, const float* w,
                        const DepthwiseShape&, void* dx, float* dw, float* dgamma, float* dbeta, float* workspace,
                        Stream stream);

// Sums of bn_act_backward alone: dgamma and dbeta, to be passed on in a NormGrad.
void bn_act_backward_sums(Type, const void* dy, const void* x, const Norm&, int64_t rows, int64_t C, float* dgamma,
                          float* dbeta, float* workspace, Stream stream);

// Floats of workspace for load_images.
int64_t images_workspace_floats(int64_t batch, int64_t height, int64_t width);

// A batch from the resident store [count, height, width, channels] uint8, as ImageStore::load of
// data/image_store.h makes it, in channels-last [batch, height, width, channels]. indices [batch]
// and draws [batch] (null: none) are on the device, so that a captured graph can be fed by
// copying into them; an index outside the store gives an image of NaN. channels: 1 to 4; batch:
// up to 65535.
void load_images(const uint8_t* store, int64_t count, int64_t height, int64_t width, int64_t channels,
                 const int64_t* indices, const AugmentDraw* draws, int64_t batch, const Preprocess&, Type, void* out,
                 float* workspace, Stream stream);

// mnv2::mix_images on a batch of load_images; draws: [batch].
void mix_images(Type, void* images, int64_t batch, int64_t height, int64_t width, int64_t channels,
                const MixDraw* draws, Stream stream);

}  // namespace mnv2::cuda
