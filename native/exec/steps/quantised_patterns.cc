// See quantised_patterns.h.
#include "exec/steps/quantised_patterns.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "exec/steps/quantised.h"

namespace mnv2 {
namespace {

/** Rounds to uint8, with one scale. */
bool is_rounding(const Draft& draft, int index) {
  const auto& node = draft.node(index);
  return node.op == "fakeQuantize" && node.dtype == at::kFloat && node.attrs.number("qmin") == 0 &&
         node.attrs.number("qmax") == 255 && !node.attrs.values.count("axis") &&
         is_stored(draft.node(node.inputs[1])) && is_stored(draft.node(node.inputs[2]));
}

/** Stored int8 with a scale, or one an output channel; read by one node. */
bool is_weight(const Draft& draft, int index) {
  const auto& node = draft.node(index);
  return node.op == "dequantize" && draft.free(index) && draft.uses[index] == 1 &&
         node.attrs.integer_or("axis", 0) == 0 && is_stored(draft.node(node.inputs[0])) &&
         is_stored(draft.node(node.inputs[1])) && node.dtype == at::kFloat;
}

std::optional<QuantisedLayer> layer_of(const Draft& draft, int op) {
  const auto& node = draft.node(op);
  if (node.op != "conv2d" && node.op != "depthwiseConv2d" && node.op != "linear") return {};
  const auto& in = node.inputs;
  if (!draft.free(op) || !is_rounding(draft, in[0]) || !is_weight(draft, in[1])) return {};
  if (in.size() > 2 && !is_stored(draft.node(in[2]))) return {};
  QuantisedLayer layer{};
  layer.op = op, layer.act = -1, layer.weight = in[1], layer.from = in[0], layer.value = -1;
  return layer;
}

/** The convolution whose output is rounded to `value`, where nobody looks at what is between them. */
std::optional<QuantisedLayer> layer_to(const Draft& draft, int value) {
  if (!draft.free(value) || !is_rounding(draft, value)) return {};
  int at = draft.node(value).inputs[0], act = -1;
  const auto& op = draft.node(at).op;
  if (op == "relu" || op == "relu6" || op == "hardtanh") {
    if (!draft.free(at) || draft.uses[at] != 1) return {};
    act = at;
    at = draft.node(at).inputs[0];
  }
  if (draft.uses[at] != 1 || draft.node(at).op == "linear") return {};
  auto layer = layer_of(draft, at);
  if (layer) layer->act = act, layer->value = value;
  return layer;
}

bool is_depthwise(const Draft& draft, const QuantisedLayer& layer) {
  return draft.node(layer.op).op == "depthwiseConv2d";
}

bool is_pointwise(const Draft& draft, const QuantisedLayer& layer) {
  return mnv2::is_pointwise(draft.node(layer.op), draft.node(layer.weight).shape);
}

/** The layer whose output only `layer` reads. */
std::optional<QuantisedLayer> before(const Draft& draft, const QuantisedLayer& layer) {
  return draft.uses[layer.from] == 1 ? layer_to(draft, layer.from) : std::nullopt;
}

void add_nodes(const QuantisedLayer& layer, std::vector<int>& nodes) {
  for (int node : {layer.weight, layer.op, layer.act, layer.value}) {
    if (node >= 0) nodes.push_back(node);
  }
}

template <class Made>
Made* place(Draft& draft, std::unique_ptr<Made> step, const std::vector<int>& nodes) {
  auto* placed = step.get();
  for (int node : nodes) draft.absorbed[node] = 1;
  draft.place(std::move(step), {});
  return placed;
}

/** A block that ends in `value`. */
QuantisedBlockStep* match_block(Draft& draft, int value) {
  if (!draft.free(value) || !is_rounding(draft, value)) return nullptr;
  int residual = -1, sum = -1;
  auto last = layer_to(draft, value);
  const int added = draft.node(value).inputs[0];
  if (!last && draft.node(added).op == "add" && draft.free(added) && draft.uses[added] == 1) {
    const auto& in = draft.node(added).inputs;
    for (int own : {0, 1}) {
      const int other = in[1 - own];
      if (last || other == in[own] || draft.uses[in[own]] != 1 || !is_rounding(draft, other) ||
          draft.node(other).shape != draft.node(in[own]).shape)
        continue;
      last = layer_to(draft, in[own]);
      if (last && !is_pointwise(draft, *last)) last.reset();
      if (last) residual = other, sum = added;
    }
  }
  if (!last || !is_pointwise(draft, *last)) return nullptr;
  std::vector<QuantisedLayer> layers{*last};
  const auto depthwise = before(draft, *last);
  if (depthwise && is_depthwise(draft, *depthwise) && is_plain_depthwise(draft.graph, draft.node(depthwise->op))) {
    layers.insert(layers.begin(), *depthwise);
    const auto first = before(draft, *depthwise);
    if (first &&
        is_dense(draft.node(first->op), draft.node(first->weight).shape, std::numeric_limits<int64_t>::max())) {
      // A pointwise convolution behind another depthwise one ends that block (MobileNetV1): it does not begin this.
      const auto earlier = before(draft, *first);
      if (!earlier || !is_depthwise(draft, *earlier)) layers.insert(layers.begin(), *first);
    }
  }
  std::vector<int> nodes, values{layers.front().from};
  for (const auto& layer : layers) add_nodes(layer, nodes);
  if (residual >= 0) {
    nodes.insert(nodes.end(), {sum, value});
    values.push_back(residual);
  }
  return place(draft, std::make_unique<QuantisedBlockStep>(layers, residual, nodes, values), nodes);
}

QuantisedStep* match_mean(Draft& draft, int value) {
  if (!draft.free(value) || !is_rounding(draft, value)) return nullptr;
  const int pool = draft.node(value).inputs[0];
  if (draft.node(pool).op != "globalAveragePool" || !draft.free(pool) || draft.uses[pool] != 1) return nullptr;
  const int from = draft.node(pool).inputs[0];
  if (!is_rounding(draft, from)) return nullptr;
  return place(draft, std::make_unique<QuantisedMeanStep>(pool, from, value), {pool, value});
}

QuantisedStep* match_linear(Draft& draft, int node) {
  if (draft.node(node).op != "linear") return nullptr;
  const auto layer = layer_of(draft, node);
  if (!layer || draft.node(layer->from).shape.size() != 2) return nullptr;
  return place(draft, std::make_unique<QuantisedLinearStep>(*layer), {layer->weight, layer->op});
}

/** QuantisedBlock::takes_floats. */
bool rounds_itself(const Draft& draft, const QuantisedLayer& first) {
  return draft.node(first.op).op == "conv2d" && !is_pointwise(draft, first);
}

}  // namespace

void match_quantised(Draft& draft) {
  // Without instructions for it int8 is slower than float32: such CPUs run the nodes, `doctor` says so.
  static const bool fast = quantised_paths().front() != "plain";
  if (draft.grad || !fast) return;
  const int count = static_cast<int>(draft.graph.nodes.size());
  std::vector<QuantisedStep*> steps;
  std::vector<QuantisedBlockStep*> blocks;
  for (int i = count - 1; i >= 0; i--) {
    if (auto* step = match_linear(draft, i)) steps.push_back(step);
    if (auto* step = match_mean(draft, i)) steps.push_back(step);
    if (auto* step = match_block(draft, i)) steps.push_back(step), blocks.push_back(step);
  }
  std::vector<int> readers(count);  // of a value's bytes
  for (const auto* step : steps)
    for (int value : step->values()) readers[value]++;
  for (auto* step : steps) {
    if (readers[step->node] > 0 && readers[step->node] == draft.uses[step->node]) step->hand_over_bytes();
  }
  for (auto* block : blocks) {
    const int value = block->first().from;
    if (!draft.free(value) || draft.uses[value] != 1 || !rounds_itself(draft, block->first())) continue;
    block->take_floats();
    draft.absorbed[value] = 1;
  }
  for (int i = 0; i < count; i++) {
    if (readers[i] == 0 || readers[i] != draft.uses[i] || !draft.free(i)) continue;
    place(draft, std::make_unique<RoundingStep>(i), {i})->hand_over_bytes();
  }
}

}  // namespace mnv2
