// Inference in int8: the blocks of separable.h on channels-last uint8 images, exact in integers, and what stands
// around them: rounding floats to uint8, global mean, the last linear layer. Owns the arithmetic, the weights' layout
// and how the work is cut; the inner loops of each kind of CPU are quantised_paths.h's.
//
//   sum = bias + Σ (x - zero) * weight                      in int32; x uint8, weight int8, bias int32
//   y   = clamp(round(float(sum) * multiplier) + out_zero)  multiplier: float, one an output channel
//   r   = round(float(y - out_zero) * a + float(r' - zero) * b) + to, in 0 .. 255, where a residual r' is added
//
// round: half to even. Products are rounded to float once; a and b keep 16 bits, which makes theirs exact. Images are
// padded with `zero`. All paths and any number of threads give the same bits. No two arguments may overlap.
#pragma once

#include <string>
#include <vector>

#include "kernels/block_cut.h"

namespace mnv2 {

struct QuantisedPath;

// The names of this build's paths that the CPU can take, the fastest first; "plain", which is last, uses no vector
// instructions of its own.
std::vector<std::string> quantised_paths();
// By name; null: the fastest. Throws std::invalid_argument for a name that is not in the list.
const QuantisedPath& quantised_path(const char* name = nullptr);

// Of a tensor: value = (q - zero) * scale.
struct Scale {
  float scale = 1;
  int32_t zero = 0;
};

// weight [out, in, size, size], bias (null: none) and multiplier [out]; [channels, 1, 3, 3] for a depthwise one. Read
// while packing only. zero: of the input; out_zero, lo, hi: of the output.
struct QuantisedConv {
  const int8_t* weight = nullptr;
  const int32_t* bias = nullptr;
  const float* multiplier = nullptr;
  int64_t in = 0, out = 0, size = 1, stride = 1;
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  int32_t zero = 0, out_zero = 0, lo = 0, hi = 255;
};

// a, b: scales of the convolution's output and of the residual over the sum's. zero: the residual's; to: the sum's.
struct QuantisedAdd {
  float a = 1, b = 1;
  int32_t zero = 0, to = 0;
};

class QuantisedBlock {
 public:
  // dense and depthwise may be null, as in SeparableBlock, of which the same is required; what one convolution makes is
  // what the next one reads. Throws std::invalid_argument, also where a sum could leave int32 or a product 2^31.
  QuantisedBlock(const QuantisedConv* dense, const QuantisedConv* depthwise, const QuantisedConv& pointwise,
                 const QuantisedPath& path = quantised_path());

  struct Size {
    int64_t H, W;
  };
  // Size of y for x of this size; not positive where the kernel does not fit.
  Size out(Size in) const;

  // Whether x may also be float, which is rounded on the way: a k x k convolution copies its input anyway.
  bool takes_floats() const;

  // x: [N, H, W, in]; residual (may be null, as `add` then may be) and y: [N, out(...), out]. threads: how many
  // `parallel` runs on.
  void run(const uint8_t* x, const uint8_t* residual, const QuantisedAdd* add, int64_t N, Size size, uint8_t* y,
           int threads, const Parallel& parallel) const;
  // x: [N, H, W, in], or planar [N, in, H, W], of which x / scale is rounded as by `quantise`.
  void run(const float* x, bool planar, float scale, const uint8_t* residual, const QuantisedAdd* add, int64_t N,
           Size size, uint8_t* y, int threads, const Parallel& parallel) const;

 private:
  friend struct QuantisedRun;
  struct Dense {
    QuantisedConv conv;              // pointers not kept
    int64_t quads = 0;               // of products in a row of the kernel
    std::vector<BlockPanel> panels;  // without a dense convolution: of the image's channels
    std::vector<int8_t> weights;
    std::vector<int32_t> bias;
    std::vector<float> multiplier;
  };
  Dense pack(const QuantisedConv& conv, int64_t in) const;
  void pack_taps(const QuantisedConv& conv);

  const QuantisedPath& path_;
  const bool has_dense_, has_depthwise_;
  Dense dense_, pointwise_;
  QuantisedConv depthwise_;
  std::vector<int8_t> taps_;
  std::vector<int32_t> taps_bias_;
  std::vector<float> taps_multiplier_;
  int64_t mid_blocks_ = 0;
};

// y = float(bias + Σ (x - zero) * weight) * multiplier: x [N, in] uint8, y [N, out] float.
class QuantisedLinear {
 public:
  // conv: size 1; its out_zero, lo and hi are not used.
  explicit QuantisedLinear(const QuantisedConv& conv, const QuantisedPath& path = quantised_path());
  void run(const uint8_t* x, int64_t N, float* y, const Parallel& parallel) const;

 private:
  const QuantisedPath& path_;
  int64_t in_, out_, quads_, blocks_;
  std::vector<int8_t> weights_;
  std::vector<int32_t> bias_;
  std::vector<float> multiplier_;
};

// y = clamp(round(x / scale) + zero, 0, 255); a NaN becomes 0.
void quantise(const float* x, int64_t count, Scale scale, uint8_t* y, const Parallel& parallel);
// y = (x - zero) * scale.
void dequantise(const uint8_t* x, int64_t count, Scale scale, float* y, const Parallel& parallel);
// y = clamp(round(float(Σ (x - zero)) * multiplier) + out_zero, 0, 255) over the pixels: x [N, pixels, C], y [N, C].
void quantised_mean(const uint8_t* x, int64_t N, int64_t pixels, int64_t C, int32_t zero, float multiplier,
                    int32_t out_zero, uint8_t* y, const Parallel& parallel);

}  // namespace mnv2
