// See norm_depthwise.h.
#include "exec/steps/norm_depthwise.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "exec/steps/op.h"

namespace mnv2 {
namespace {

/** A training-mode BatchNorm whose activation the kernels have, and nothing added. */
NormActivation* training_norm(const Draft& draft, Step* step) {
  auto* norm = dynamic_cast<NormActivation*>(step);
  if (!norm || norm->residual >= 0 || !NormActivation::has_kernel(draft.graph, norm->act)) return nullptr;
  return draft.node(norm->norm).attrs.flag("training") ? norm : nullptr;
}

}  // namespace

void match_norm_depthwise(Draft& draft, int node) {
  const auto& conv = draft.node(node);
  if (!draft.free(node) || !is_plain_depthwise(draft.graph, conv)) return;
  if (conv.inputs.size() > 2 || !may_be_fused(conv)) return;
  const int from = conv.inputs[0], next = draft.lone_reader(node);
  if (next < 0 || draft.node(next).op != "batchNorm2d" || draft.node(next).inputs[0] != node) return;
  if (draft.uses[from] != 1 || draft.wrt.count(from) || draft.wrt.count(node)) return;
  const auto behind = std::find_if(draft.at.begin(), draft.at.end(), [&](const auto& step) {
    const auto* norm = dynamic_cast<NormActivation*>(step.get());
    return norm && norm->norm == next;
  });
  if (behind == draft.at.end() || !training_norm(draft, draft.at[from].get()) || !training_norm(draft, behind->get()))
    return;
  std::unique_ptr<NormActivation> before(static_cast<NormActivation*>(draft.at[from].release()));
  std::unique_ptr<NormActivation> after(static_cast<NormActivation*>(behind->release()));
  draft.place(std::make_unique<NormDepthwise>(std::move(before), node, std::move(after)), {from, node});
}

std::vector<int> NormDepthwise::reads(const Graph& g) const {
  auto in = before_->reads(g);
  for (const auto& more : {g.nodes[conv_].inputs, after_->reads(g)}) in.insert(in.end(), more.begin(), more.end());
  return in;
}

std::string NormDepthwise::describe(const Graph& g) const {
  return before_->describe(g) + "+" + g.nodes[conv_].op + "+" + after_->describe(g);
}

at::Tensor NormDepthwise::run(Frame& frame) {
  const auto &first = frame.node(before_->norm), &conv = frame.node(conv_);
  const auto &x = frame.values[first.inputs[0]], &weight = frame.values[conv.inputs[1]];
  const auto stride = conv.attrs.integers("stride"), pads = conv.attrs.integers("padding");
  const auto filters = x.is_cuda() ? weight : weight.to(x.scalar_type());
  if (norm_act_takes(x) && weight.scalar_type() == at::kFloat &&
      depthwise_takes(x, filters, stride, pads, conv.attrs.integers("dilation"))) {
    auto norm = [&](const NormActivation& part) {
      const auto& n = frame.node(part.norm);
      auto in = [&](int i) { return frame.values[n.inputs[i]]; };
      return TrainedNorm{in(1),
                         in(2),
                         in(3),
                         in(4),
                         n.attrs.number("momentum"),
                         n.attrs.number("eps"),
                         NormActivation::kernel_act(frame.graph, part.act)};
    };
    return norm_depthwise_norm(x, norm(*before_), filters, stride[0], pads, norm(*after_));
  }
  frame.values[before_->node] = before_->run(frame);
  frame.values[conv_] = run_op(frame, conv_);
  auto y = after_->run(frame);
  for (int inner : {before_->node, conv_}) frame.values[inner].reset();
  return y;
}

}  // namespace mnv2
