// See norm_activation.h.
#include "exec/steps/norm_activation.h"

#include "exec/steps/op.h"

namespace mnv2 {

void match_norm_activation(Draft& draft, int node) {
  if (draft.node(node).op != "batchNorm2d" || !draft.free(node) || draft.wrt.count(node)) return;
  const auto tail = tail_of(draft, node);
  draft.place(std::make_unique<NormActivation>(node, tail), {node, tail.act, tail.residual >= 0 ? tail.node : -1});
}

bool NormActivation::has_kernel(const Graph& graph, int act) { return act < 0 || graph.nodes[act].op != "hardtanh"; }

Act NormActivation::kernel_act(const Graph& graph, int act) {
  return act < 0 ? Act::none : graph.nodes[act].op == "relu" ? Act::relu : Act::relu6;
}

std::vector<int> NormActivation::reads(const Graph& g) const {
  auto in = g.nodes[norm].inputs;
  if (residual >= 0) in.push_back(residual);
  return in;
}

std::string NormActivation::describe(const Graph& g) const {
  auto line = g.nodes[norm].op;
  if (act >= 0) line += "+" + g.nodes[act].op;
  return line + (residual >= 0 ? "+add" : "");
}

at::Tensor NormActivation::run(Frame& frame) {
  const auto& n = frame.node(norm);
  auto in = [&](int i) -> const at::Tensor& { return frame.values[n.inputs[i]]; };
  if (has_kernel(frame.graph, act) && norm_act_takes(in(0))) {
    return norm_act(
        in(0), in(1), in(2), in(3), in(4), residual >= 0 ? frame.values[residual] : at::Tensor(),
        {n.attrs.flag("training"), n.attrs.number("momentum"), n.attrs.number("eps"), kernel_act(frame.graph, act)});
  }
  // Double, for gradient checks, and bounds of one's own: op by op.
  at::Tensor y;
  int last = -1;
  for (int part : {norm, act, residual >= 0 ? node : -1}) {
    if (part < 0) continue;
    y = run_op(frame, part);
    if (last >= 0) frame.values[last].reset();
    frame.values[part] = y;
    last = part;
  }
  return y;
}

}  // namespace mnv2
