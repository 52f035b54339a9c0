// See fake_quantize.h.
#include "autograd/fake_quantize.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "autograd/fused.h"
#include "kernels/fake_quantize.h"

namespace mnv2 {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

/** Scales as they broadcast over x. */
at::Tensor along(const at::Tensor& scale, int64_t axis, int64_t dimensions) {
  if (axis < 0) return scale;
  std::vector<int64_t> shape(dimensions, 1);
  shape[axis] = scale.size(0);
  return scale.reshape(shape);
}

/** Whether the kernels take it: float32 on the CPU, the values that share a scale next to each other. */
bool rows_of_float(const at::Tensor& x, int64_t axis) {
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || x.numel() == 0) return false;
  return axis < 0 ? x.is_non_overlapping_and_dense() : axis == 0 && x.is_contiguous();
}

FakeQuantized kernel_arguments(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& zero,
                               const QuantizedTo& to) {
  const int64_t scales = scale.numel();
  return {scales,
          x.numel() / scales,
          scale.data_ptr<float>(),
          zero.data_ptr<float>(),
          static_cast<float>(to.low),
          static_cast<float>(to.high)};
}

at::Tensor forward_of(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& zero, const QuantizedTo& to) {
  if (rows_of_float(x, to.axis)) {
    auto y = at::empty_like(x);
    fake_quantize_forward(x.data_ptr<float>(), kernel_arguments(x, scale, zero, to), y.data_ptr<float>(), parallel());
    return y;
  }
  const auto s = along(scale, to.axis, x.dim()), z = along(zero, to.axis, x.dim());
  return at::round(x / s).add_(z).clamp_(to.low, to.high).sub_(z).mul_(s);
}

/** Fills dx and dscale where they are asked for. */
void backward_of(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& scale, const at::Tensor& zero,
                 const QuantizedTo& to, at::Tensor* dx, at::Tensor* dscale) {
  const double factor = 1 / std::sqrt(static_cast<double>(x.numel()) / scale.numel() * to.high);
  // The kernels read both tensors as one line of memory.
  if (rows_of_float(x, to.axis) && dy.scalar_type() == at::kFloat) {
    const auto dense = dy.strides() == x.strides() ? dy : at::empty_like(x).copy_(dy);
    at::Tensor sums;
    if (dx) *dx = at::empty_like(x);
    if (dscale) sums = at::empty_like(scale, scale.options().dtype(at::kDouble));
    fake_quantize_backward(dense.data_ptr<float>(), x.data_ptr<float>(), kernel_arguments(x, scale, zero, to),
                           dx ? dx->data_ptr<float>() : nullptr, dscale ? sums.data_ptr<double>() : nullptr,
                           parallel());
    if (dscale) *dscale = sums.mul_(factor).to(scale.scalar_type());
    return;
  }
  const auto s = along(scale, to.axis, x.dim()), z = along(zero, to.axis, x.dim());
  const auto t = x / s, step = at::round(t), q = step + z, clamped = q.clamp(to.low, to.high);
  const auto inside = q == clamped;
  if (dx) *dx = dy * inside;
  if (!dscale) return;
  const auto slope = dy * at::where(inside, step - t, clamped - z);
  *dscale = (to.axis < 0 ? slope.sum().reshape(scale.sizes())
                         : slope.movedim(to.axis, 0).reshape({scale.size(0), -1}).sum(1)) *
            factor;
}

struct FakeQuantizeFunction : torch::autograd::Function<FakeQuantizeFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& scale, const Variable& zero,
                          double low, double high, int64_t axis) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({x, scale, zero});
    context->saved_data["low"] = low;
    context->saved_data["high"] = high;
    context->saved_data["axis"] = axis;
    return forward_of(x, scale, zero, {low, high, axis});
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &scale = saved[1], &zero = saved[2];
    const QuantizedTo to{context->saved_data["low"].toDouble(), context->saved_data["high"].toDouble(),
                         context->saved_data["axis"].toInt()};
    at::Tensor dx, dscale;
    backward_of(gradients[0], x, scale, zero, to, context->needs_input_grad(0) ? &dx : nullptr,
                context->needs_input_grad(1) ? &dscale : nullptr);
    return {dx, dscale, {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor fake_quantize(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& zero, const QuantizedTo& to) {
  const auto s = scale.contiguous(), z = zero.contiguous();
  if (at::GradMode::is_enabled()) return FakeQuantizeFunction::apply(x, s, z, to.low, to.high, to.axis);
  return forward_of(x, s, z, to);
}

at::Tensor dequantize(const at::Tensor& q, const at::Tensor& scale, int64_t axis) {
  return q.to(scale.scalar_type()) * along(scale, axis, q.dim());
}

}  // namespace mnv2
