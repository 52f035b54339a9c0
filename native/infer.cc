// Folding, packing and running fused convolutions. See infer.h.
#include "infer.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <cmath>
#include <mutex>

namespace mnv2 {

struct PackedConv {
  std::mutex mutex;  // streams of one batch share the step
  uint64_t version = 0;
  at::Tensor weight, bias;  // folded, in the compute type
  std::vector<int64_t> pads;
  // oneDNN picks a weight layout per input shape; a loop sees two: the full and the last batch.
  std::vector<std::pair<std::vector<int64_t>, at::Tensor>> packed;
};

namespace {

using Schema = c10::optional<c10::OperatorHandle>;

const Schema& schema(int which) {
  auto find = [](const char* name, const char* overload) { return c10::Dispatcher::singleton().findSchema({name, overload}); };
  static const Schema all[] = {find("mkldnn::_convolution_pointwise", ""), find("mkldnn::_convolution_pointwise", "binary"),
                               find("mkldnn::_reorder_convolution_weight", "")};
  return all[which];
}

at::Tensor call(const Schema& op, torch::jit::Stack stack) {
  op->callBoxed(&stack);
  return stack.at(0).toTensor();
}

/** w * gamma / sqrt(var + eps), beta - mean * gamma / sqrt(var + eps): folded in double, rounded once. */
void fold(const Graph& g, const Step& step, const std::function<const at::Tensor&(int)>& value, bool bf16, PackedConv& out) {
  const auto& conv = g.nodes[step.conv];
  auto weight = value(conv.inputs[1]);
  const auto type = bf16 && weight.scalar_type() == at::kFloat ? at::kBFloat16 : weight.scalar_type();
  at::Tensor bias = conv.inputs.size() > 2 ? value(conv.inputs[2]) : at::Tensor();
  if (step.norm >= 0) {
    const auto& norm = g.nodes[step.norm];
    auto get = [&](int i) { return value(norm.inputs[i]).to(at::kDouble); };
    const auto scale = get(1) / (get(4) + norm.attrs.number("eps")).sqrt();
    auto shift = get(2) - get(3) * scale;
    if (bias.defined()) shift = shift + bias.to(at::kDouble) * scale;
    bias = shift.to(weight.scalar_type());
    weight = (weight.to(at::kDouble) * scale.reshape({-1, 1, 1, 1})).to(weight.scalar_type());
  }
  const auto p = conv.attrs.integers("padding");
  out.pads = {p[0], p[2]};
  if (p[1] == p[0] + 1 && p[3] == p[2] + 1) {
    // As in ops.cc: a leading row and column of zeros instead of an asymmetrically padded copy of the input.
    weight = at::constant_pad_nd(weight, {1, 0, 1, 0}, 0);
    out.pads = {p[1], p[3]};
  }
  out.weight = weight.to(type).contiguous();
  out.bias = bias.defined() ? bias.to(type) : bias;
  out.packed.clear();
}

bool one_dnn_takes(const at::Tensor& x, const Clamp& clamp) {
  const bool type = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  const bool bounded = std::isfinite(clamp.min) && std::isfinite(clamp.max);
  const bool relu = clamp.min == 0 && !std::isfinite(clamp.max);
  const bool free = !std::isfinite(clamp.min) && !std::isfinite(clamp.max);
  return x.device().is_cpu() && type && (bounded || relu || free) && fused_convolution_available();
}

}  // namespace

void prepare(Step& step) {
  if (step.kind == Step::Kind::fused_conv) step.packed = std::make_shared<PackedConv>();
}

bool fused_convolution_available() { return schema(0) && schema(1) && schema(2); }

at::Tensor run_fused_conv(const Graph& g, Step& step, const std::function<const at::Tensor&(int)>& value, uint64_t version, bool bf16) {
  const auto& conv = g.nodes[step.conv];
  const auto clamp = clamp_of(g, step.act);
  auto& p = *step.packed;
  auto x = value(conv.inputs[0]);
  std::unique_lock<std::mutex> lock(p.mutex);
  if (p.version != version) {
    fold(g, step, value, bf16, p);
    p.version = version;
  }
  const auto weight = p.weight, bias = p.bias;
  x = x.to(weight.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
  const auto stride = conv.attrs.integers("stride"), dilation = conv.attrs.integers("dilation");
  const int64_t groups = conv.op == "conv2d" ? conv.attrs.integer("groups") : x.size(1);
  const auto ends = conv.attrs.integers("padding");
  const bool uneven = (ends[0] != ends[1] || ends[2] != ends[3]) && weight.size(2) == g.nodes[conv.inputs[1]].shape[2];
  if (uneven) x = at::constant_pad_nd(x, {ends[2], ends[3], ends[0], ends[1]}, 0);
  const std::vector<int64_t> pads = uneven ? std::vector<int64_t>{0, 0} : p.pads;

  at::Tensor residual;
  if (step.residual >= 0) residual = value(step.residual);
  if (!one_dnn_takes(x, clamp)) {
    lock.unlock();
    auto y = at::conv2d(x, weight, bias, stride, pads, dilation, groups);
    if (step.act >= 0) y = y.clamp_(clamp.min, clamp.max);
    return residual.defined() ? y.add_(residual.to(y.scalar_type())) : y;
  }

  const auto sizes = x.sizes().vec();
  at::Tensor packed;
  for (const auto& [shape, candidate] : p.packed) {
    if (shape == sizes) packed = candidate;
  }
  if (!packed.defined()) {
    packed = call(schema(2), {weight, pads, stride, dilation, groups, sizes});
    if (p.packed.size() > 2) p.packed.erase(p.packed.begin());
    p.packed.emplace_back(sizes, packed);
  }
  lock.unlock();

  c10::List<c10::optional<at::Scalar>> bounds;
  std::string attr = "none";
  if (step.act >= 0) {
    attr = std::isfinite(clamp.max) ? "hardtanh" : "relu";
    if (attr == "hardtanh") {
      bounds.push_back(at::Scalar(clamp.min));
      bounds.push_back(at::Scalar(clamp.max));
    }
  }
  if (residual.defined() && step.act < 0) {
    residual = residual.to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    return call(schema(1), {x, residual, packed, bias, pads, stride, dilation, groups, std::string("add"), c10::IValue(),
                            c10::IValue(), bounds, c10::IValue()});
  }
  auto y = call(schema(0), {x, packed, bias, pads, stride, dilation, groups, attr, bounds, std::string("")});
  // act(conv) + residual is not a pattern oneDNN has in this order (the ReLU6-bottleneck ablation).
  return residual.defined() ? y.add_(residual.to(y.scalar_type())) : y;
}

}  // namespace mnv2
