// See patterns.h. A new pattern is a file in this folder and a line in match_patterns.
#include "exec/steps/patterns.h"

#include <algorithm>
#include <limits>

#include "exec/steps/fused_convolution.h"
#include "exec/steps/norm_activation.h"
#include "exec/steps/norm_depthwise.h"
#include "exec/steps/quantised_patterns.h"
#include "exec/steps/separable.h"

namespace mnv2 {

void match_patterns(Draft& draft) {
  const int count = static_cast<int>(draft.graph.nodes.size());
  match_quantised(draft);
  for (int i = 0; i < count; i++) {
    match_fused_convolution(draft, i);
    match_norm_activation(draft, i);
  }
  // These join steps of the above.
  for (int i = 0; i < count; i++) match_norm_depthwise(draft, i);
  // From the end: an expansion belongs to the block it begins before it is a pointwise convolution of its own.
  for (int i = count - 1; i >= 0; i--) match_separable(draft, i);
}

Draft::Draft(const Graph& graph, const std::vector<int>& roots)
    : graph(graph),
      needed(graph.nodes.size()),
      uses(graph.nodes.size()),
      reader(graph.nodes.size(), -1),
      at(graph.nodes.size()),
      absorbed(graph.nodes.size()) {
  for (int root : roots) needed[root] = 1, uses[root]++;
  for (int i = static_cast<int>(graph.nodes.size()) - 1; i >= 0; i--) {
    if (!needed[i]) continue;
    for (int input : graph.nodes[i].inputs) needed[input] = 1, uses[input]++, reader[input] = i;
  }
}

void Draft::place(std::unique_ptr<Step> step, std::initializer_list<int> inner) {
  for (int node : inner) {
    if (node >= 0) absorbed[node] = 1;
  }
  absorbed[step->node] = 0;
  at[step->node] = std::move(step);
}

Tail tail_of(const Draft& draft, int node) {
  Tail tail{node};
  int next = draft.lone_reader(node);
  if (next >= 0) {
    const auto& op = draft.node(next).op;
    if (op == "relu" || op == "relu6" || op == "hardtanh") {
      tail.act = tail.node = next;
      next = draft.lone_reader(next);
    }
  }
  if (next < 0 || draft.node(next).op != "add" || draft.at[next]) return tail;
  const auto& in = draft.node(next).inputs;
  const int other = in[0] == tail.node ? in[1] : in[0];
  if (other == tail.node || draft.node(other).shape != draft.node(tail.node).shape) return tail;
  tail.residual = other;
  tail.node = next;
  return tail;
}

Clamp clamp_of(const Graph& g, int act) {
  constexpr double none = std::numeric_limits<double>::infinity();
  if (act < 0) return {-none, none};
  const auto& node = g.nodes[act];
  if (node.op == "relu") return {0, none};
  if (node.op == "relu6") return {0, 6};
  return {node.attrs.number("min"), node.attrs.number("max")};
}

bool is_plain(const Node& conv, int64_t most) {
  const auto pads = conv.attrs.integers("padding"), stride = conv.attrs.integers("stride"),
             dilation = conv.attrs.integers("dilation");
  const bool small = std::all_of(pads.begin(), pads.end(), [&](int64_t p) { return p <= most; });
  return small && stride[0] == stride[1] && dilation[0] == 1 && dilation[1] == 1;
}

bool is_dense(const Node& node, const std::vector<int64_t>& weight, int64_t most) {
  return node.op == "conv2d" && node.attrs.integer("groups") == 1 && weight[2] == weight[3] && is_plain(node, most);
}

bool is_pointwise(const Node& node, const std::vector<int64_t>& weight) {
  return is_dense(node, weight, 0) && weight[2] == 1 && node.attrs.integers("stride")[0] == 1;
}

bool is_plain_depthwise(const Graph& g, const Node& node) {
  if (node.op != "depthwiseConv2d" || !is_plain(node, 2) || node.attrs.integers("stride")[0] > 2) return false;
  const auto &weight = g.nodes[node.inputs[1]].shape, &x = g.nodes[node.inputs[0]].shape;
  return weight[0] == x[1] && weight[2] == 3 && weight[3] == 3;
}

bool may_be_fused(const Node& conv) {
  const auto& route = conv.attrs.text("route");
  return route == "auto" || route == "fused";
}

}  // namespace mnv2
