// See convolutions_cuda.h.
#include "exec/steps/convolutions_cuda.h"

#include <ATen/ATen.h>

#include <cmath>

#include "autograd/launch_cuda.h"

namespace mnv2 {
namespace {

c10::optional<Act> act_of(const Clamp& clamp) {
  if (!std::isfinite(clamp.min) && !std::isfinite(clamp.max)) return Act::none;
  if (clamp.min != 0 || (std::isfinite(clamp.max) && clamp.max != 6)) return c10::nullopt;
  return std::isfinite(clamp.max) ? Act::relu6 : Act::relu;
}

}  // namespace

at::Tensor run_convolutions_on_cuda(Frame& frame, const std::vector<FusedConvolution*>& steps) {
  auto x = frame.value(frame.node(steps.front()->conv).inputs[0]);
  BiasAct left;  // what x still lacks
  for (size_t i = 0; i < steps.size(); i++) {
    auto& step = *steps[i];
    const auto& conv = frame.node(step.conv);
    step.refresh(frame);
    const auto& p = step.packed();
    const bool rounded = frame.context.bf16 && p.weight.scalar_type() == at::kFloat;
    const auto type = rounded ? at::kBFloat16 : p.weight.scalar_type();
    x = x.to(type).contiguous(at::MemoryFormat::ChannelsLast);
    const auto stride = conv.attrs.integers("stride"), dilation = conv.attrs.integers("dilation"),
               ends = conv.attrs.integers("padding");
    const auto clamp = clamp_of(frame.graph, step.act);
    const auto act = act_of(clamp);
    const auto residual = step.residual >= 0
                              ? frame.value(step.residual).to(type).contiguous(at::MemoryFormat::ChannelsLast)
                              : at::Tensor();
    if (p.pads.size() == 4) {  // our kernel's
      x = cuda_depthwise_folded(x, left, p.weight, stride[0], p.pads, act ? BiasAct{p.bias, *act} : BiasAct{p.bias});
      left = {};
      if (!act) x.clamp_(clamp.min, clamp.max);
      if (residual.defined()) x.add_(residual);
      continue;
    }
    if (ends[0] != ends[1] || ends[2] != ends[3]) x = at::constant_pad_nd(x, {ends[2], ends[3], ends[0], ends[1]}, 0);
    const auto pads = ends[0] != ends[1] || ends[2] != ends[3] ? std::vector<int64_t>{0, 0} : p.pads;
    x = at::conv2d(x, p.weight, {}, stride, pads, dilation,
                   conv.op == "conv2d" ? conv.attrs.integer("groups") : x.size(1));
    x = x.contiguous(at::MemoryFormat::ChannelsLast);
    const bool simple = act && (type == at::kFloat || type == at::kBFloat16);
    if (simple && i + 1 < steps.size() && cuda_depthwise_takes(frame.graph, frame.node(steps[i + 1]->conv))) {
      left = {p.bias, *act};
    } else if (simple && (p.bias.defined() || *act != Act::none || residual.defined())) {
      x = cuda_bias_act(x, {p.bias, *act}, residual);
    } else {
      if (p.bias.defined()) x.add_(p.bias.reshape({1, -1, 1, 1}));
      if (step.act >= 0) x.clamp_(clamp.min, clamp.max);
      if (residual.defined()) x.add_(residual);
    }
  }
  return x;
}

}  // namespace mnv2
