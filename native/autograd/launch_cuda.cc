// See launch.h.
#include "autograd/launch_cuda.h"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "cuda/kernels.h"

namespace mnv2 {
namespace {

cuda::Type type_of(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat ? cuda::Type::float32 : cuda::Type::bfloat16;
}
cuda::Stream stream() { return c10::cuda::getCurrentCUDAStream().stream(); }
at::Tensor workspace(const at::Tensor& like, int64_t channels) {
  return at::empty({cuda::workspace_floats(channels)}, like.options().dtype(at::kFloat));
}
float* floats(const at::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }
void* raw(const at::Tensor& t) { return t.defined() ? t.data_ptr() : nullptr; }

cuda::DepthwiseShape shape_of(const at::Tensor& x, int64_t stride, at::IntArrayRef pads) {
  return {x.size(0), x.size(1), x.size(2), x.size(3), stride, pads[0], pads[2], pads[1], pads[3]};
}

cuda::Norm norm_of(const BiasAct& b) { return {nullptr, nullptr, nullptr, floats(b.bias), b.act}; }

}  // namespace

at::Tensor cuda_norm_act_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                 const at::Tensor& running_mean, const at::Tensor& running_var,
                                 const at::Tensor& residual, const NormAct& o, at::Tensor& mean, at::Tensor& rstd) {
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  auto y = at::empty_like(x);
  if (!o.training) {
    mean = running_mean;
    rstd = (running_var + o.eps).rsqrt();
    cuda::norm_act(type_of(x), raw(x), raw(residual), {floats(mean), floats(rstd), floats(weight), floats(bias), o.act},
                   rows, channels, raw(y), stream());
  } else {
    mean = at::empty_like(running_mean);
    rstd = at::empty_like(running_mean);
    auto var = at::empty_like(running_mean), space = workspace(x, channels);
    cuda::Statistics statistics{floats(mean),
                                floats(var),
                                floats(rstd),
                                floats(running_mean),
                                floats(running_var),
                                static_cast<float>(o.momentum),
                                static_cast<float>(o.eps)};
    cuda::bn_act_forward(type_of(x), raw(x), raw(residual), floats(weight), floats(bias), o.act, rows, channels, raw(y),
                         statistics, floats(space), stream());
  }
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return y;
}

void cuda_norm_act_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& mean, const at::Tensor& rstd, Act act, bool training, at::Tensor& dx,
                            at::Tensor& dweight, at::Tensor& dbias) {
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  auto space = workspace(x, channels);
  auto* kernel = training ? cuda::bn_act_backward : cuda::bn_act_eval_backward;
  kernel(type_of(x), raw(dy), raw(x), {floats(mean), floats(rstd), floats(weight), floats(bias), act}, rows, channels,
         raw(dx), floats(dweight), floats(dbias), floats(space), stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

at::Tensor cuda_depthwise_forward(const at::Tensor& x, const at::Tensor& weight, int64_t stride, at::IntArrayRef pads) {
  const auto shape = shape_of(x, stride, pads);
  auto y = at::empty({shape.N, shape.C, shape.out_h(), shape.out_w()}, x.options(), at::MemoryFormat::ChannelsLast);
  auto space = workspace(x, shape.C);
  cuda::depthwise_forward(type_of(x), raw(x), nullptr, floats(weight), shape, raw(y), nullptr, floats(space),
                          mnv2::stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return y;
}

at::Tensor cuda_bias_act(const at::Tensor& y, const BiasAct& tail, const at::Tensor& residual) {
  if (y.numel() == 0) return y;
  auto out = at::empty_like(y);
  const int64_t channels = y.size(1);
  cuda::norm_act(type_of(y), raw(y), raw(residual), norm_of(tail), y.numel() / channels, channels, raw(out), stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

at::Tensor cuda_depthwise_folded(const at::Tensor& x, const BiasAct& before, const at::Tensor& weight, int64_t stride,
                                 at::IntArrayRef pads, const BiasAct& tail) {
  const auto shape = shape_of(x, stride, pads);
  TORCH_CHECK(shape.H + shape.top + shape.bottom >= 3 && shape.W + shape.left + shape.right >= 3,
              "convolution: an image of ", shape.H, " x ", shape.W, " is smaller than the kernel");
  auto y = at::empty({shape.N, shape.C, shape.out_h(), shape.out_w()}, x.options(), at::MemoryFormat::ChannelsLast);
  if (y.numel() == 0) return y;
  const auto head = norm_of(before), end = norm_of(tail);
  cuda::depthwise_forward(type_of(x), raw(x), &head, floats(weight), shape, raw(y), nullptr, nullptr, stream(), &end);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return y;
}

void cuda_depthwise_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                             at::IntArrayRef pads, at::Tensor& dx, at::Tensor& dweight) {
  const auto shape = shape_of(x, stride, pads);
  auto space = workspace(x, shape.C);
  cuda::depthwise_backward(type_of(x), raw(dy), nullptr, raw(x), nullptr, floats(weight), shape, raw(dx),
                           floats(dweight), nullptr, nullptr, floats(space), mnv2::stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

at::Tensor cuda_norm_depthwise_forward(const at::Tensor& x, const TrainedNorm& before, const at::Tensor& weight,
                                       int64_t stride, at::IntArrayRef pads, const TrainedNorm& after,
                                       at::Tensor& mean_before, at::Tensor& rstd_before, at::Tensor& y,
                                       at::Tensor& mean_after, at::Tensor& rstd_after) {
  const auto shape = shape_of(x, stride, pads);
  const int64_t C = shape.C;
  y = at::empty({shape.N, C, shape.out_h(), shape.out_w()}, x.options(), at::MemoryFormat::ChannelsLast);
  auto z = at::empty_like(y), space = workspace(x, C), var = at::empty_like(before.running_mean);
  for (auto* statistic : {&mean_before, &rstd_before, &mean_after, &rstd_after})
    *statistic = at::empty_like(before.running_mean);
  auto statistics = [&](const TrainedNorm& n, const at::Tensor& mean, const at::Tensor& rstd) {
    return cuda::Statistics{floats(mean),
                            floats(var),
                            floats(rstd),
                            floats(n.running_mean),
                            floats(n.running_var),
                            static_cast<float>(n.momentum),
                            static_cast<float>(n.eps)};
  };
  const auto own = statistics(before, mean_before, rstd_before), next = statistics(after, mean_after, rstd_after);
  const cuda::Norm normalise{floats(mean_before), floats(rstd_before), floats(before.weight), floats(before.bias),
                             before.act};
  cuda::bn_statistics(type_of(x), raw(x), x.numel() / C, C, own, floats(space), mnv2::stream());
  cuda::depthwise_forward(type_of(x), raw(x), &normalise, floats(weight), shape, raw(y), &next, floats(space),
                          mnv2::stream());
  cuda::norm_act(type_of(x), raw(y), nullptr,
                 {floats(mean_after), floats(rstd_after), floats(after.weight), floats(after.bias), after.act},
                 y.numel() / C, C, raw(z), mnv2::stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return z;
}

void cuda_norm_depthwise_backward(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& weight_before,
                                  const at::Tensor& bias_before, const at::Tensor& mean_before,
                                  const at::Tensor& rstd_before, Act before, const at::Tensor& weight, int64_t stride,
                                  at::IntArrayRef pads, const at::Tensor& y, const at::Tensor& weight_after,
                                  const at::Tensor& bias_after, const at::Tensor& mean_after,
                                  const at::Tensor& rstd_after, Act after, at::Tensor& dx, at::Tensor& dweight_before,
                                  at::Tensor& dbias_before, at::Tensor& dweight, at::Tensor& dweight_after,
                                  at::Tensor& dbias_after) {
  const auto shape = shape_of(x, stride, pads);
  const int64_t C = shape.C;
  auto space = workspace(x, C), masked = at::empty_like(x);
  cuda::Norm own{floats(mean_before), floats(rstd_before), floats(weight_before), floats(bias_before), before};
  const cuda::Norm next{floats(mean_after), floats(rstd_after), floats(weight_after), floats(bias_after), after};
  cuda::bn_act_backward_sums(type_of(x), raw(dz), raw(y), next, y.numel() / C, C, floats(dweight_after),
                             floats(dbias_after), floats(space), mnv2::stream());
  const cuda::NormGrad behind{next, raw(y), floats(dweight_after), floats(dbias_after)};
  cuda::depthwise_backward(type_of(x), raw(dz), &behind, raw(x), &own, floats(weight), shape, raw(masked),
                           floats(dweight), floats(dweight_before), floats(dbias_before), floats(space),
                           mnv2::stream());
  own.act = Act::none;  // `masked` has passed the activation
  cuda::bn_act_backward_dx(type_of(x), raw(masked), raw(x), own, floats(dweight_before), floats(dbias_before),
                           x.numel() / C, C, raw(dx), mnv2::stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace mnv2
