// Inference of depthwise separable blocks on channels-last images, each block as one pass: the wide tensors between
// its convolutions live in cache, a few rows or channels at a time, and never in memory. BatchNorm is folded by the
// caller. Owns the arithmetic, the weights' layout and how the work is cut.
//
//   y = pointwise(depthwise3x3(dense(x))) + residual      MobileNetV2's inverted residual; `dense` is its expansion,
//                                                          or the k x k stem in front of the first block
//   y = pointwise(depthwise3x3(x))                         MobileNetV1's block
//   y = pointwise(x)                                       a 1x1 convolution on its own
//
// Every convolution ends in a clamp to [lo, hi]. x, residual, y: channels-last, T = float or bfloat16; weights and
// arithmetic float. No two arguments may overlap. Results do not depend on the number of threads.
#pragma once

#include <vector>

#include "kernels/block_cut.h"

namespace mnv2 {

// weight [out, in, size, size] and bias [out] (null: none), as PyTorch keeps them; [channels, 1, 3, 3] for a
// depthwise one. Read while packing only.
struct FoldedConv {
  const float *weight = nullptr, *bias = nullptr;
  int64_t in = 0, out = 0, size = 1, stride = 1;
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  float lo = 0, hi = 0;
};

class SeparableBlock {
 public:
  // dense and depthwise may be null (see above), dense only together with depthwise. pointwise: size 1, stride 1, no
  // pads; depthwise: size 3, stride 1 or 2, pads 0 to 2. Throws std::invalid_argument for anything else.
  SeparableBlock(const FoldedConv* dense, const FoldedConv* depthwise, const FoldedConv& pointwise);

  struct Size {
    int64_t H, W;
  };
  // Size of y for x of this size; not positive where the kernel does not fit.
  Size out(Size in) const;

  // Whether x may also come as [N, in, H, W]: a k x k convolution copies its input anyway.
  bool takes_planar() const;

  // x: [N, H, W, in], or planar; residual (may be null) and y: [N, out(...), out]. threads: how many `parallel` runs
  // on.
  template <class T>
  void run(const T* x, bool planar, const T* residual, int64_t N, Size size, T* y, int threads,
           const Parallel& parallel) const;

 private:
  template <class T>
  friend struct SeparableRun;
  struct Dense {
    FoldedConv conv;  // pointers not kept
    int64_t k = 0;    // products of one output
    std::vector<BlockPanel>
        panels;  // of weights [k][blocks][lane]; without a dense convolution: of the image's channels
    std::vector<float> weights, bias;
  };
  static Dense pack(const FoldedConv& conv, int64_t k);

  bool has_dense_, has_depthwise_;
  Dense dense_, pointwise_;
  FoldedConv depthwise_;
  std::vector<float> taps_;  // [block][9 taps, bias][lane]
  int64_t mid_blocks_ = 0;
};

}  // namespace mnv2
