// See fused.h.
#include "autograd/fused.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "errors.h"
#include "kernels/bn_act.h"
#include "kernels/depthwise.h"

#ifdef MNV2_CUDA
#include "autograd/launch_cuda.h"
#endif

namespace mnv2 {

const Parallel& parallel() {
  static const Parallel run = [](int64_t n, const std::function<void(int64_t, int64_t)>& body) {
    at::parallel_for(0, n, 1, body);
  };
  return run;
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

constexpr auto kLayout = at::MemoryFormat::ChannelsLast;

/** Calls `body` with a null pointer of the kernel's element type. */
template <class Body>
void by_type(const at::Tensor& x, Body body) {
  if (x.scalar_type() == at::kFloat)
    body(static_cast<float*>(nullptr));
  else
    body(static_cast<bfloat16*>(nullptr));
}

template <class T>
T* data(const at::Tensor& t) {
  return t.defined() ? static_cast<T*>(t.data_ptr()) : nullptr;
}

/** What a forward leaves for its backward. */
struct Statistics {
  at::Tensor mean, rstd;
};

at::Tensor norm_act_kernels(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& running_mean, const at::Tensor& running_var, const at::Tensor& residual,
                            const NormAct& o, Statistics& kept) {
#ifdef MNV2_CUDA
  if (x.is_cuda())
    return cuda_norm_act_forward(x, weight, bias, running_mean, running_var, residual, o, kept.mean, kept.rstd);
#endif
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  auto y = at::empty_like(x);
  const auto floats = weight.options().requires_grad(false);
  kept.rstd = at::empty({channels}, floats);
  kept.mean = o.training ? at::empty({channels}, floats) : running_mean;
  float* rstd = data<float>(kept.rstd);
  by_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (!o.training) {
      const float* var = data<float>(running_var);
      for (int64_t c = 0; c < channels; c++) rstd[c] = 1 / std::sqrt(static_cast<double>(var[c]) + o.eps);
      bn_act_eval_forward<T>(data<T>(x), data<T>(residual), data<float>(kept.mean), rstd, data<float>(weight),
                             data<float>(bias), o.act, rows, channels, data<T>(y), parallel());
      return;
    }
    auto var = at::empty({channels}, floats);
    bn_act_forward<T>(data<T>(x), data<T>(residual), data<float>(weight), data<float>(bias), static_cast<float>(o.eps),
                      o.act, rows, channels, data<T>(y), data<float>(kept.mean), data<float>(var), rstd, parallel());
    // PyTorch normalises with the biased variance and keeps the unbiased one.
    const double unbias = rows > 1 ? static_cast<double>(rows) / (rows - 1) : 1;
    float *rm = data<float>(running_mean), *rv = data<float>(running_var);
    for (int64_t c = 0; c < channels; c++) {
      rm[c] += static_cast<float>(o.momentum) * (data<float>(kept.mean)[c] - rm[c]);
      rv[c] += static_cast<float>(o.momentum) * (static_cast<float>(data<float>(var)[c] * unbias) - rv[c]);
    }
  });
  return y;
}

/** Fills dx, dweight and dbias where they are defined; `training`: through the batch's statistics. */
void norm_act_backward_kernels(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias, const Statistics& kept, Act act, bool training, at::Tensor& dx,
                               at::Tensor& dweight, at::Tensor& dbias) {
#ifdef MNV2_CUDA
  if (x.is_cuda())
    return cuda_norm_act_backward(dy, x, weight, bias, kept.mean, kept.rstd, act, training, dx, dweight, dbias);
#endif
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  by_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    auto* kernel = training ? bn_act_backward<T> : bn_act_eval_backward<T>;
    kernel(data<T>(dy), data<T>(x), data<float>(kept.mean), data<float>(kept.rstd), data<float>(weight),
           data<float>(bias), act, rows, channels, data<T>(dx), data<float>(dweight), data<float>(dbias), parallel());
  });
}

void refuse_single(const at::Tensor& x) {
  if (x.numel() > x.size(1)) return;
  throw Failure("USAGE",
                "batchNorm2d in training mode needs more than one value per channel: use a larger batch or image, or "
                "drop the last batch of one");
}

struct NormActFunction : torch::autograd::Function<NormActFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight, const Variable& bias,
                          const Variable& residual, const at::Tensor& running_mean, const at::Tensor& running_var,
                          bool training, double momentum, double eps, int64_t act, bool add) {
    at::AutoDispatchBelowADInplaceOrView below;
    Statistics kept;
    auto y = norm_act_kernels(x, weight, bias, running_mean, running_var, add ? residual : at::Tensor(),
                              {training, momentum, eps, static_cast<Act>(act)}, kept);
    // Frozen statistics may move before the backward only in training mode, where they are not used.
    context->save_for_backward({x, weight, bias, kept.mean, kept.rstd});
    context->saved_data["training"] = training;
    context->saved_data["act"] = act;
    context->saved_data["residual"] = add;
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &rstd = saved[4];
    const bool training = context->saved_data["training"].toBool();
    const auto act = static_cast<Act>(context->saved_data["act"].toInt());
    const auto dy = gradients[0].to(x.scalar_type()).contiguous(kLayout);
    at::Tensor dx, dweight, dbias;
    if (context->needs_input_grad(0)) dx = at::empty_like(x);
    if (training || context->needs_input_grad(1) || context->needs_input_grad(2)) {
      dweight = at::empty_like(weight);
      dbias = at::empty_like(bias);
    }
    const auto dresidual = context->saved_data["residual"].toBool() ? dy : at::Tensor();
    norm_act_backward_kernels(dy, x, weight, bias, {mean, rstd}, act, training, dx, dweight, dbias);
    return {dx, dweight, dbias, dresidual, {}, {}, {}, {}, {}, {}, {}};
  }
};

DepthwiseShape shape_of(const at::Tensor& x, int64_t stride, at::IntArrayRef pads) {
  return {x.size(0), x.size(1), x.size(2), x.size(3), stride, pads[0], pads[2], pads[1], pads[3]};
}

at::Tensor depthwise_kernels(const at::Tensor& x, const at::Tensor& weight, int64_t stride, at::IntArrayRef pads) {
#ifdef MNV2_CUDA
  if (x.is_cuda()) return cuda_depthwise_forward(x, weight, stride, pads);
#endif
  const auto shape = shape_of(x, stride, pads);
  auto y = at::empty({shape.N, shape.C, shape.out_h(), shape.out_w()}, x.options(), kLayout);
  by_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    depthwise_forward<T>(data<T>(x), data<T>(weight), shape, data<T>(y), parallel());
  });
  return y;
}

void depthwise_backward_kernels(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                                at::IntArrayRef pads, at::Tensor& dx, at::Tensor& dweight) {
#ifdef MNV2_CUDA
  if (x.is_cuda()) return cuda_depthwise_backward(dy, x, weight, stride, pads, dx, dweight);
#endif
  by_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    depthwise_backward<T>(data<T>(dy), data<T>(x), data<T>(weight), shape_of(x, stride, pads), data<T>(dx),
                          data<T>(dweight), parallel());
  });
}

struct DepthwiseFunction : torch::autograd::Function<DepthwiseFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight, int64_t stride,
                          std::vector<int64_t> pads) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["pads"] = pads;
    return depthwise_kernels(x, weight, stride, pads);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const auto dy = gradients[0].to(x.scalar_type()).contiguous(kLayout);
    at::Tensor dx, dweight;
    if (context->needs_input_grad(0)) dx = at::empty_like(x);
    if (context->needs_input_grad(1)) dweight = at::empty_like(weight);
    depthwise_backward_kernels(dy, x, weight, context->saved_data["stride"].toInt(),
                               context->saved_data["pads"].toIntVector(), dx, dweight);
    return {dx, dweight, {}, {}};
  }
};

struct NormDepthwiseNormFunction : torch::autograd::Function<NormDepthwiseNormFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight_before,
                          const Variable& bias_before, const Variable& weight, const Variable& weight_after,
                          const Variable& bias_after, int64_t stride, std::vector<int64_t> pads, TrainedNorm before,
                          TrainedNorm after) {
    at::AutoDispatchBelowADInplaceOrView below;
    Statistics first, second;
    at::Tensor y, z;
    bool done = false;
    refuse_single(x);
#ifdef MNV2_CUDA
    if (x.is_cuda()) {
      z = cuda_norm_depthwise_forward(x, before, weight, stride, pads, after, first.mean, first.rstd, y, second.mean,
                                      second.rstd);
      done = true;
    }
#endif
    if (!done) {
      auto norm = [](const at::Tensor& in, const TrainedNorm& n, Statistics& kept) {
        return norm_act_kernels(in, n.weight, n.bias, n.running_mean, n.running_var, {},
                                {true, n.momentum, n.eps, n.act}, kept);
      };
      y = depthwise_kernels(norm(x, before, first), weight, stride, pads);
      z = norm(y, after, second);
    }
    refuse_single(y);
    context->save_for_backward({x, weight_before, bias_before, first.mean, first.rstd, weight, y, weight_after,
                                bias_after, second.mean, second.rstd});
    context->saved_data["stride"] = stride;
    context->saved_data["pads"] = pads;
    context->saved_data["before"] = static_cast<int64_t>(before.act);
    context->saved_data["after"] = static_cast<int64_t>(after.act);
    return z;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight_before = saved[1], &bias_before = saved[2], &weight = saved[5], &y = saved[6],
               &weight_after = saved[7], &bias_after = saved[8];
    const Statistics first{saved[3], saved[4]}, second{saved[9], saved[10]};
    const int64_t stride = context->saved_data["stride"].toInt();
    const auto pads = context->saved_data["pads"].toIntVector();
    const auto before = static_cast<Act>(context->saved_data["before"].toInt()),
               after = static_cast<Act>(context->saved_data["after"].toInt());
    const auto dz = gradients[0].to(y.scalar_type()).contiguous(kLayout);
    auto dx = at::empty_like(x), dweight = at::empty_like(weight);
    auto dweight_before = at::empty_like(weight_before), dbias_before = at::empty_like(bias_before);
    auto dweight_after = at::empty_like(weight_after), dbias_after = at::empty_like(bias_after);
    const variable_list out{dx, dweight_before, dbias_before, dweight, dweight_after, dbias_after, {}, {}, {}, {}};
#ifdef MNV2_CUDA
    if (x.is_cuda()) {
      cuda_norm_depthwise_backward(dz, x, weight_before, bias_before, first.mean, first.rstd, before, weight, stride,
                                   pads, y, weight_after, bias_after, second.mean, second.rstd, after, dx,
                                   dweight_before, dbias_before, dweight, dweight_after, dbias_after);
      return out;
    }
#endif
    auto dy = at::empty_like(y), wide = at::empty_like(x), dwide = at::empty_like(x);
    norm_act_backward_kernels(dz, y, weight_after, bias_after, second, after, true, dy, dweight_after, dbias_after);
    by_type(x, [&](auto* type) {  // what the forward pass did not keep
      using T = std::remove_pointer_t<decltype(type)>;
      bn_act_eval_forward<T>(data<T>(x), nullptr, data<float>(first.mean), data<float>(first.rstd),
                             data<float>(weight_before), data<float>(bias_before), before, x.numel() / x.size(1),
                             x.size(1), data<T>(wide), parallel());
    });
    depthwise_backward_kernels(dy, wide, weight, stride, pads, dwide, dweight);
    norm_act_backward_kernels(dwide, x, weight_before, bias_before, first, before, true, dx, dweight_before,
                              dbias_before);
    return out;
  }
};

}  // namespace

bool depthwise_takes(const at::Tensor& x, const at::Tensor& weight, at::IntArrayRef stride, at::IntArrayRef pads,
                     at::IntArrayRef dilation) {
  // CUDA kernels keep filters in float32, the CPU's take the type of the images.
  const bool type = weight.scalar_type() == (x.is_cuda() ? at::kFloat : x.scalar_type());
  const bool kernel = weight.size(0) == x.size(1) && weight.size(2) == 3 && weight.size(3) == 3 && type;
  return kernel && norm_act_takes(x) && stride[0] == stride[1] && dilation[0] == 1 && dilation[1] == 1 &&
         shape_of(x, stride[0], pads).valid();
}

at::Tensor depthwise_conv(const at::Tensor& x, const at::Tensor& weight, int64_t stride, at::IntArrayRef pads) {
  const auto dense = x.contiguous(kLayout), kernel = weight.contiguous();
  if (at::GradMode::is_enabled()) return DepthwiseFunction::apply(dense, kernel, stride, pads.vec());
  return depthwise_kernels(dense, kernel, stride, pads);
}

bool norm_act_takes(const at::Tensor& x) {
#ifdef MNV2_CUDA
  const bool device = x.is_cpu() || x.is_cuda();
#else
  const bool device = x.is_cpu();
#endif
  return device && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && x.numel() > 0;
}

at::Tensor norm_act(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    const at::Tensor& running_mean, const at::Tensor& running_var, const at::Tensor& residual,
                    const NormAct& o) {
  const auto dense = x.contiguous(kLayout);
  if (o.training) refuse_single(x);
  at::Tensor skip = residual.defined() ? residual.to(x.scalar_type()).contiguous(kLayout) : residual;
  if (at::GradMode::is_enabled()) {
    // Function::apply takes no undefined tensors: without a residual the running mean stands in and is not read.
    return NormActFunction::apply(dense, weight, bias, skip.defined() ? skip : running_mean, running_mean, running_var,
                                  o.training, o.momentum, o.eps, static_cast<int64_t>(o.act), skip.defined());
  }
  Statistics kept;
  return norm_act_kernels(dense, weight, bias, running_mean, running_var, skip, o, kept);
}

at::Tensor norm_depthwise_norm(const at::Tensor& x, const TrainedNorm& before, const at::Tensor& weight, int64_t stride,
                               at::IntArrayRef pads, const TrainedNorm& after) {
  return NormDepthwiseNormFunction::apply(x.contiguous(kLayout), before.weight, before.bias, weight.contiguous(),
                                          after.weight, after.bias, stride, pads.vec(), before, after);
}

}  // namespace mnv2
