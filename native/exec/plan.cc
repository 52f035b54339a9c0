// Prunes, orders and releases; what becomes one step is for the patterns to say.
#include "exec/plan.h"

#include <algorithm>

#include "exec/steps/op.h"
#include "exec/steps/patterns.h"

namespace mnv2 {
namespace {

using Kind = Node::Kind;

/** Last reader of each value, in steps. Fetched values, the loss and what is differentiated live on. */
void set_releases(const Graph& g, Plan& plan, const std::vector<int>& kept) {
  std::vector<int> last(g.nodes.size(), -1);
  for (size_t s = 0; s < plan.steps.size(); s++) {
    for (int input : plan.steps[s]->reads(g)) last[input] = static_cast<int>(s);
  }
  for (int node : kept) last[node] = -1;
  for (size_t i = 0; i < last.size(); i++) {
    if (last[i] >= 0) plan.steps[last[i]]->release.push_back(static_cast<int>(i));
  }
}

}  // namespace

std::vector<int> trained_parameters(const Graph& g) {
  std::vector<int> found;
  if (g.loss < 0) return found;
  std::vector<char> reached(g.nodes.size(), 0);
  reached[g.loss] = 1;
  for (int i = g.loss; i >= 0; i--) {
    if (!reached[i]) continue;
    const auto& node = g.nodes[i];
    for (int input : node.inputs) reached[input] = 1;
    if (node.kind == Kind::parameter && std::count(g.trained.begin(), g.trained.end(), node.name) > 0)
      found.push_back(i);
  }
  std::reverse(found.begin(), found.end());
  return found;
}

Plan make_plan(const Graph& g, const std::vector<int>& fetch, bool train) {
  Plan plan;
  plan.fetch = fetch;
  auto roots = fetch;
  if (train) roots.push_back(g.loss);

  const int count = static_cast<int>(g.nodes.size());
  Draft draft(g, roots);
  for (int i = 0; i < count; i++) {
    if (!draft.needed[i]) continue;
    const auto& node = g.nodes[i];
    if (node.kind == Kind::gradient) {
      plan.gradients.push_back(i);
      draft.wrt.insert(node.inputs[1]);
    }
    if (node.op == "dropout") plan.random = true;
    if (node.op == "batchNorm2d" && node.attrs.flag("training")) plan.updates_statistics = true;
  }
  plan.grad = draft.grad = train || !draft.wrt.empty();
  plan.leaf.assign(count, 0);
  for (int node : draft.wrt) plan.leaf[node] = 1;
  for (int node : trained_parameters(g)) plan.leaf[node] = 1;

  if (g.fuse) match_patterns(draft);
  for (int i = 0; i < count; i++) {
    if (!draft.free(i) || g.nodes[i].kind == Kind::gradient) continue;
    if (g.nodes[i].kind == Kind::op)
      draft.at[i] = std::make_unique<PlainOp>(i);
    else
      draft.at[i] = std::make_unique<Source>(i);
  }

  // Stored values that only steps with folded weights read are looked up by those, when they changed.
  std::vector<char> looked_up(count, 0);
  for (const auto& step : draft.at) {
    if (!step || step->keeps_weights()) continue;
    for (int input : step->reads(g)) looked_up[input] = 1;
  }
  for (int root : roots) looked_up[root] = 1;
  for (int i = 0; i < count; i++) {
    if (!draft.at[i] || (!plan.grad && is_stored(g.nodes[i]) && !looked_up[i])) continue;
    plan.steps.push_back(std::move(draft.at[i]));
  }

  auto kept = roots;
  for (int gradient : plan.gradients)
    kept.insert(kept.end(), g.nodes[gradient].inputs.begin(), g.nodes[gradient].inputs.end());
  for (int i = 0; train && i < count; i++) {  // parameters are differentiated for at the end
    if (g.nodes[i].kind == Kind::parameter) kept.push_back(i);
  }
  set_releases(g, plan, kept);
  return plan;
}

std::vector<std::string> describe(const Graph& g, const Plan& plan) {
  std::vector<std::string> lines;
  for (const auto& step : plan.steps) {
    const auto line = step->describe(g);
    const auto& path = g.nodes[step->node].path;
    if (!line.empty()) lines.push_back(line + (path.empty() ? "" : " " + path));
  }
  return lines;
}

}  // namespace mnv2
