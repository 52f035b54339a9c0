// See fused_convolution.h.
#include "exec/steps/fused_convolution.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <algorithm>
#include <cmath>

#include "graph/padding.h"

#ifdef MNV2_CUDA
#include "exec/steps/convolutions_cuda.h"
#endif

namespace mnv2 {
namespace {

using Schema = c10::optional<c10::OperatorHandle>;

const Schema& schema(int which) {
  auto find = [](const char* name, const char* overload) {
    return c10::Dispatcher::singleton().findSchema({name, overload});
  };
  static const Schema all[] = {find("mkldnn::_convolution_pointwise", ""),
                               find("mkldnn::_convolution_pointwise", "binary"),
                               find("mkldnn::_reorder_convolution_weight", "")};
  return all[which];
}

at::Tensor call(const Schema& op, torch::jit::Stack stack) {
  op->callBoxed(&stack);
  return stack.at(0).toTensor();
}

bool one_dnn_takes(const at::Tensor& x, const Clamp& clamp) {
  const bool type = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  const bool bounded = std::isfinite(clamp.min) && std::isfinite(clamp.max);
  const bool relu = clamp.min == 0 && !std::isfinite(clamp.max);
  const bool free = !std::isfinite(clamp.min) && !std::isfinite(clamp.max);
  return x.device().is_cpu() && type && (bounded || relu || free) && fused_convolution_available();
}

}  // namespace

bool fused_convolution_available() { return schema(0) && schema(1) && schema(2); }

bool cuda_depthwise_takes(const Graph& g, const Node& conv) {
  return is_plain_depthwise(g, conv) && may_be_fused(conv) && g.nodes[conv.inputs[1]].dtype == at::kFloat;
}

void match_fused_convolution(Draft& draft, int index) {
  const auto& node = draft.node(index);
  if (draft.grad || !draft.free(index) || draft.wrt.count(index)) return;
  if (node.op != "conv2d" && node.op != "depthwiseConv2d") return;
  auto stored = [&](int input) { return is_stored(draft.node(input)); };
  if (!std::all_of(node.inputs.begin() + 1, node.inputs.end(), stored)) return;

  int norm = -1;
  const int next = draft.lone_reader(index);
  const bool normed = next >= 0 && draft.node(next).op == "batchNorm2d";
  if (normed && draft.node(next).inputs[0] == index) {
    const auto& n = draft.node(next);
    if (!n.attrs.flag("training") && std::all_of(n.inputs.begin() + 1, n.inputs.end(), stored)) norm = next;
  }
  const int last = norm >= 0 ? norm : index;
  // Train-mode statistics after this convolution: leave the tail to the BatchNorm's own step.
  const auto tail = norm >= 0 || !normed ? tail_of(draft, last) : Tail{last};
  draft.place(std::make_unique<FusedConvolution>(index, norm, tail),
              {index, norm, tail.act, tail.residual >= 0 ? tail.node : -1});
}

std::vector<int> FusedConvolution::reads(const Graph& g) const {
  auto in = g.nodes[conv].inputs;
  if (norm >= 0) in.insert(in.end(), g.nodes[norm].inputs.begin() + 1, g.nodes[norm].inputs.end());
  if (residual >= 0) in.push_back(residual);
  return in;
}

std::string FusedConvolution::describe(const Graph& g) const {
  auto line = g.nodes[conv].op;
  for (int part : {norm, act}) {
    if (part >= 0) line += "+" + g.nodes[part].op;
  }
  return line + (residual >= 0 ? "+add" : "");
}

/** w * gamma / sqrt(var + eps), beta - mean * gamma / sqrt(var + eps): folded in double, rounded once. */
Folded FusedConvolution::fold(Frame& frame) const {
  const auto& in = frame.node(conv).inputs;
  auto weight = frame.stored(in[1]);
  at::Tensor bias = in.size() > 2 ? frame.stored(in[2]) : at::Tensor();
  if (norm >= 0) {
    const auto& n = frame.node(norm);
    auto get = [&](int i) { return frame.stored(n.inputs[i]).to(at::kDouble); };
    const auto scale = get(1) / (get(4) + n.attrs.number("eps")).sqrt();
    auto shift = get(2) - get(3) * scale;
    if (bias.defined()) shift = shift + bias.to(at::kDouble) * scale;
    bias = shift.to(weight.scalar_type());
    weight = (weight.to(at::kDouble) * scale.reshape({-1, 1, 1, 1})).to(weight.scalar_type());
  }
  return {weight.contiguous(), bias};
}

void FusedConvolution::refresh(Frame& frame) {
  auto& out = packed_;
  if (out.version == frame.stored.version()) return;
  auto [weight, bias] = fold(frame);
  const auto type = frame.context.bf16 && weight.scalar_type() == at::kFloat ? at::kBFloat16 : weight.scalar_type();
  const auto p = frame.node(conv).attrs.integers("padding");
  out.pads = {p[0], p[2]};
  if (weight.is_cuda()) {
    // Kept where they are: captured graphs read them. Our kernel takes its filters in float32 and pads of any kind.
    auto keep = [](at::Tensor& at, const at::Tensor& fresh) { at.defined() ? at.copy_(fresh) : at = fresh; };
    const bool kernel = cuda_depthwise_takes(frame.graph, frame.node(conv));
    if (kernel) out.pads = p;
    keep(out.weight, kernel ? weight : weight.to(type).contiguous(at::MemoryFormat::ChannelsLast));
    if (bias.defined()) keep(out.bias, bias);
  } else {
    if (shifts_into_filter(p, frame.node(conv).attrs.integers("dilation"))) {
      weight = shifted_filter(weight);
      out.pads = {p[1], p[3]};
    }
    out.weight = weight.to(type).contiguous();
    out.bias = bias.defined() ? bias.to(type) : bias;
    out.by_shape.clear();
  }
  out.version = frame.stored.version();
}

at::Tensor FusedConvolution::prepacked(const at::Tensor& x, const std::vector<int64_t>& pads,
                                       const std::vector<int64_t>& stride, const std::vector<int64_t>& dilation,
                                       int64_t groups) {
  auto& all = packed_.by_shape;
  const auto sizes = x.sizes().vec();
  for (const auto& [shape, weight] : all) {
    if (shape == sizes) return weight;
  }
  if (all.size() > 2) all.erase(all.begin());
  all.emplace_back(sizes, call(schema(2), {packed_.weight, pads, stride, dilation, groups, sizes}));
  return all.back().second;
}

at::Tensor FusedConvolution::run(Frame& frame) {
  const auto& node = frame.node(conv);
  const auto clamp = clamp_of(frame.graph, act);
  auto x = frame.value(node.inputs[0]);
#ifdef MNV2_CUDA
  if (x.is_cuda()) return run_convolutions_on_cuda(frame, {this});
#endif
  refresh(frame);
  const auto &weight = packed_.weight, &bias = packed_.bias;
  x = x.to(weight.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
  const auto stride = node.attrs.integers("stride"), dilation = node.attrs.integers("dilation");
  const int64_t groups = node.op == "conv2d" ? node.attrs.integer("groups") : x.size(1);
  const auto ends = node.attrs.integers("padding");
  const bool uneven =
      (ends[0] != ends[1] || ends[2] != ends[3]) && weight.size(2) == frame.node(node.inputs[1]).shape[2];
  if (uneven) x = at::constant_pad_nd(x, {ends[2], ends[3], ends[0], ends[1]}, 0);
  const std::vector<int64_t> pads = uneven ? std::vector<int64_t>{0, 0} : packed_.pads;

  at::Tensor skip;
  if (residual >= 0) skip = frame.value(residual);
  if (!one_dnn_takes(x, clamp)) {
    auto y = at::conv2d(x, weight, bias, stride, pads, dilation, groups);
    if (act >= 0) y = y.clamp_(clamp.min, clamp.max);
    return skip.defined() ? y.add_(skip.to(y.scalar_type())) : y;
  }

  const auto kernel = prepacked(x, pads, stride, dilation, groups);
  c10::List<c10::optional<at::Scalar>> bounds;
  std::string attr = "none";
  if (act >= 0) {
    attr = std::isfinite(clamp.max) ? "hardtanh" : "relu";
    if (attr == "hardtanh") {
      bounds.push_back(at::Scalar(clamp.min));
      bounds.push_back(at::Scalar(clamp.max));
    }
  }
  if (skip.defined() && act < 0) {
    skip = skip.to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    return call(schema(1), {x, skip, kernel, bias, pads, stride, dilation, groups, std::string("add"), c10::IValue(),
                            c10::IValue(), bounds, c10::IValue()});
  }
  auto y = call(schema(0), {x, kernel, bias, pads, stride, dilation, groups, attr, bounds, std::string("")});
  // act(conv) + residual is not a pattern oneDNN has in this order (the ReLU6-bottleneck ablation).
  return skip.defined() ? y.add_(skip.to(y.scalar_type())) : y;
}

}  // namespace mnv2
