// Prunes, orders and fuses. The only place that knows which patterns become one step.
#include "exec/plan.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace mnv2 {
namespace {

using Kind = Node::Kind;

bool is_conv(const Node& n) { return n.op == "conv2d" || n.op == "depthwiseConv2d"; }
bool is_clamp(const Node& n) { return n.op == "relu" || n.op == "relu6" || n.op == "hardtanh"; }

struct Needs {
  std::vector<char> needed;
  std::vector<int> uses;    // readers among needed nodes, plus one if fetched
  std::vector<int> reader;  // the last reader seen
};

Needs trace(const Graph& g, const std::vector<int>& roots) {
  Needs n{std::vector<char>(g.nodes.size()), std::vector<int>(g.nodes.size()), std::vector<int>(g.nodes.size(), -1)};
  for (int root : roots) n.needed[root] = 1, n.uses[root]++;
  for (int i = static_cast<int>(g.nodes.size()) - 1; i >= 0; i--) {
    if (!n.needed[i]) continue;
    for (int input : g.nodes[i].inputs) n.needed[input] = 1, n.uses[input]++, n.reader[input] = i;
  }
  return n;
}

/** Follows `from` through a lone activation and a lone residual add; both only where nobody else looks. */
void absorb_tail(const Graph& g, const Needs& needs, const std::vector<Step>& at, Step& step) {
  auto lone_reader = [&](int node) { return needs.uses[node] == 1 ? needs.reader[node] : -1; };
  int next = lone_reader(step.node);
  if (next >= 0 && is_clamp(g.nodes[next])) {
    step.act = step.node = next;
    next = lone_reader(step.node);
  }
  if (next < 0 || g.nodes[next].op != "add" || at[next].node >= 0) return;
  const auto& in = g.nodes[next].inputs;
  const int other = in[0] == step.node ? in[1] : in[0];
  if (other == step.node || g.nodes[other].shape != g.nodes[step.node].shape) return;
  step.residual = other;
  step.node = next;
}

/** Pads of at most `most`, dilation 1, one stride for both directions. */
bool is_plain(const Node& conv, int64_t most) {
  const auto pads = conv.attrs.integers("padding"), stride = conv.attrs.integers("stride"),
             dilation = conv.attrs.integers("dilation");
  const bool small = std::all_of(pads.begin(), pads.end(), [&](int64_t p) { return p <= most; });
  return small && stride[0] == stride[1] && dilation[0] == 1 && dilation[1] == 1;
}

/** [dense,] [depthwise,] pointwise, ending at `node`, as one step; nothing where `node` ends no pointwise convolution.
 */
void gather_separable(const Graph& g, const Needs& needs, std::vector<Step>& at, std::vector<char>& absorbed,
                      int node) {
  using K = Step::Kind;
  auto weight = [&](const Step& step) -> const std::vector<int64_t>& {
    return g.nodes[g.nodes[step.conv].inputs[1]].shape;
  };
  auto dense = [&](const Step& step, int64_t most) {
    const auto& conv = g.nodes[step.conv];
    return conv.op == "conv2d" && conv.attrs.integer("groups") == 1 && weight(step)[2] == weight(step)[3] &&
           is_plain(conv, most);
  };
  /** The step that makes the input of `step`, if nobody else reads that and it adds nothing. */
  auto before = [&](const Step& step) {
    const int from = g.nodes[step.conv].inputs[0];
    const bool lone = at[from].kind == K::fused_conv && at[from].residual < 0 && needs.uses[from] == 1;
    return lone ? from : -1;
  };
  const Step& last = at[node];
  if (last.kind != K::fused_conv || !dense(last, 0) || weight(last)[2] != 1 ||
      g.nodes[last.conv].attrs.integers("stride")[0] != 1)
    return;
  std::vector<int> parts{node};
  const int depthwise = before(last);
  if (depthwise >= 0 && g.nodes[at[depthwise].conv].op == "depthwiseConv2d") {
    const auto& conv = g.nodes[at[depthwise].conv];
    const auto& w = weight(at[depthwise]);
    if (is_plain(conv, 2) && w[2] == 3 && w[3] == 3 && w[0] == weight(last)[1] &&
        w[0] == g.nodes[conv.inputs[0]].shape[1] && conv.attrs.integers("stride")[0] <= 2) {
      parts.insert(parts.begin(), depthwise);
      const int first = before(at[depthwise]);
      // A pointwise convolution behind another depthwise one ends that block (MobileNetV1): it does not begin this.
      const int second = first >= 0 ? before(at[first]) : -1;
      const bool taken = second >= 0 && g.nodes[at[second].conv].op == "depthwiseConv2d";
      if (first >= 0 && !taken && dense(at[first], std::numeric_limits<int64_t>::max()))
        parts.insert(parts.begin(), first);
    }
  }
  Step block;
  block.kind = K::separable;
  block.node = node;
  for (int part : parts) {
    block.parts.push_back(at[part]);
    at[part] = Step();
    absorbed[part] = part != node;
  }
  at[node] = block;
}

/** norm_act, the depthwise convolution at `node`, norm_act: one step where all three train and nobody looks between. */
void gather_norm_depthwise(const Graph& g, const Needs& needs, std::vector<Step>& at, std::vector<char>& absorbed,
                           int node, const std::function<bool(int)>& differentiated) {
  const auto& conv = g.nodes[node];
  if (conv.op != "depthwiseConv2d" || absorbed[node] || at[node].node >= 0 || conv.inputs.size() > 2 ||
      !is_plain(conv, 2))
    return;
  const auto& shape = g.nodes[conv.inputs[1]].shape;
  const auto& route = conv.attrs.text("route");
  if (shape[2] != 3 || shape[3] != 3 || shape[0] != g.nodes[conv.inputs[0]].shape[1] ||
      conv.attrs.integers("stride")[0] > 2)
    return;
  if (route != "auto" && route != "fused") return;
  auto trains = [&](const Step& step) {
    const bool known = step.act < 0 || g.nodes[step.act].op != "hardtanh";
    return step.kind == Step::Kind::norm_act && step.residual < 0 && known && g.nodes[step.norm].attrs.flag("training");
  };
  const int from = conv.inputs[0], next = needs.uses[node] == 1 ? needs.reader[node] : -1;
  if (next < 0 || g.nodes[next].op != "batchNorm2d" || g.nodes[next].inputs[0] != node) return;
  const auto after = std::find_if(
      at.begin(), at.end(), [&](const Step& step) { return step.kind == Step::Kind::norm_act && step.norm == next; });
  if (needs.uses[from] != 1 || !trains(at[from]) || after == at.end() || !trains(*after) || differentiated(from) ||
      differentiated(node))
    return;
  Step step, own;
  own.node = node;
  step.kind = Step::Kind::norm_depthwise;
  step.node = after->node;
  step.parts = {at[from], own, *after};
  absorbed[from] = absorbed[node] = 1;
  at[from] = Step();
  at[step.node] = step;
}

}  // namespace

Plan make_plan(const Graph& g, const std::vector<int>& fetch, bool train) {
  Plan plan;
  plan.fetch = fetch;
  auto roots = fetch;
  if (train) roots.push_back(g.loss);
  const auto needs = trace(g, roots);
  const int count = static_cast<int>(g.nodes.size());

  for (int i = 0; i < count; i++) {
    if (!needs.needed[i]) continue;
    const auto& node = g.nodes[i];
    if (node.kind == Kind::gradient) plan.wrt.push_back(node.inputs[1]);
    if (node.op == "dropout") plan.random = true;
    if (node.op == "batchNorm2d" && node.attrs.flag("training")) plan.updates_statistics = true;
  }
  plan.grad = train || !plan.wrt.empty();
  auto differentiated = [&](int node) { return std::find(plan.wrt.begin(), plan.wrt.end(), node) != plan.wrt.end(); };

  // A fused step stands where its last node stood: all its inputs are computed by then.
  std::vector<Step> at(count);
  std::vector<char> absorbed(count, 0);
  auto fuse = [&](Step step) {
    for (int part : {step.conv, step.norm, step.act, step.residual >= 0 ? step.node : -1}) {
      if (part >= 0) absorbed[part] = 1;
    }
    absorbed[step.node] = 0;
    at[step.node] = step;
  };
  if (g.fuse) {
    for (int i = 0; i < count; i++) {
      const auto& node = g.nodes[i];
      if (!needs.needed[i] || absorbed[i] || at[i].node >= 0 || differentiated(i)) continue;
      if (!plan.grad && is_conv(node) && is_stored(g.nodes[node.inputs[1]]) &&
          (node.inputs.size() < 3 || is_stored(g.nodes[node.inputs[2]]))) {
        Step step;
        step.kind = Step::Kind::fused_conv;
        step.conv = step.node = i;
        const int next = needs.uses[i] == 1 ? needs.reader[i] : -1;
        if (next >= 0 && g.nodes[next].op == "batchNorm2d" && g.nodes[next].inputs[0] == i) {
          const auto& norm = g.nodes[next];
          const bool stored =
              std::all_of(norm.inputs.begin() + 1, norm.inputs.end(), [&](int s) { return is_stored(g.nodes[s]); });
          if (!norm.attrs.flag("training") && stored) step.norm = step.node = next;
        }
        // Train-mode statistics after this convolution: leave the tail to the BatchNorm's own step.
        if (step.norm >= 0 || next < 0 || g.nodes[next].op != "batchNorm2d") absorb_tail(g, needs, at, step);
        fuse(step);
      } else if (node.op == "batchNorm2d") {
        Step step;
        step.kind = Step::Kind::norm_act;
        step.norm = step.node = i;
        absorb_tail(g, needs, at, step);
        fuse(step);
      }
    }
    for (int i = 0; i < count; i++) gather_norm_depthwise(g, needs, at, absorbed, i, differentiated);
    // From the end: an expansion belongs to the block it begins before it is a pointwise convolution of its own.
    for (int i = count - 1; i >= 0; i--) gather_separable(g, needs, at, absorbed, i);
  }
  const std::function<std::vector<int>(const Step&)> reads = [&](const Step& step) {
    std::vector<int> in;
    for (const auto& part : step.parts) {
      const auto of = reads(part);
      in.insert(in.end(), of.begin(), of.end());
    }
    if (!step.parts.empty()) return in;
    if (step.kind == Step::Kind::op) return g.nodes[step.node].inputs;
    const auto& head = g.nodes[step.conv >= 0 ? step.conv : step.norm].inputs;
    in.insert(in.end(), head.begin(), head.end());
    if (step.conv >= 0 && step.norm >= 0)
      in.insert(in.end(), g.nodes[step.norm].inputs.begin() + 1, g.nodes[step.norm].inputs.end());
    if (step.residual >= 0) in.push_back(step.residual);
    return in;
  };
  // Folded convolutions keep what they make of their weights: those are looked up when they changed, not in every run.
  std::vector<char> looked_up(count, 0);
  for (int i = 0; i < count; i++) {
    if (!needs.needed[i] || absorbed[i]) continue;
    if (at[i].node < 0) at[i].node = i;
    if (at[i].kind == Step::Kind::fused_conv || at[i].kind == Step::Kind::separable) continue;
    for (int input : reads(at[i])) looked_up[input] = 1;
  }
  for (int root : roots) looked_up[root] = 1;
  for (int i = 0; i < count; i++) {
    if (!needs.needed[i] || absorbed[i]) continue;
    if (!plan.grad && is_stored(g.nodes[i]) && !looked_up[i]) continue;
    plan.steps.push_back(at[i]);
  }

  // Last reader of each value, in steps. Fetched values, the loss and differentiated nodes live on.
  std::vector<int> last(count, -1);
  for (size_t s = 0; s < plan.steps.size(); s++) {
    for (int input : reads(plan.steps[s])) last[input] = static_cast<int>(s);
  }
  for (int keep : roots) last[keep] = -1;
  if (train) {  // parameters are differentiated for at the end
    for (int i = 0; i < count; i++) {
      if (g.nodes[i].kind == Kind::parameter) last[i] = -1;
    }
  }
  for (int keep : plan.wrt) last[keep] = -1;
  for (int i = 0; i < count; i++) {
    if (last[i] >= 0) plan.steps[last[i]].release.push_back(i);
  }
  return plan;
}

Clamp clamp_of(const Graph& g, int act) {
  constexpr double none = std::numeric_limits<double>::infinity();
  if (act < 0) return {-none, none};
  const auto& node = g.nodes[act];
  if (node.op == "relu") return {0, none};
  if (node.op == "relu6") return {0, 6};
  return {node.attrs.number("min"), node.attrs.number("max")};
}

std::vector<std::string> describe(const Graph& g, const Plan& plan) {
  std::vector<std::string> lines;
  for (const auto& step : plan.steps) {
    const auto& node = g.nodes[step.node];
    if (node.kind != Kind::op) continue;
    std::string line;
    auto part = [&](int index) {
      if (index >= 0) line += (line.empty() ? "" : "+") + g.nodes[index].op;
    };
    auto whole = [&](const Step& fused) {
      if (fused.kind == Step::Kind::op) return part(fused.node);
      part(fused.conv), part(fused.norm), part(fused.act);
      if (fused.residual >= 0) line += "+add";
    };
    if (step.parts.empty()) whole(step);
    for (const auto& fused : step.parts) whole(fused);
    lines.push_back(line + (node.path.empty() ? "" : " " + node.path));
  }
  return lines;
}

}  // namespace mnv2
