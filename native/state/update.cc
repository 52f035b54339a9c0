// See update.h.
#include "state/update.h"

#include <algorithm>

namespace mnv2 {
namespace {

TrainedParameter facts(const Node& node) { return {node.name, node.shape, node.dtype}; }

std::vector<TrainedParameter> facts_of(const Graph& graph, const std::vector<int>& nodes) {
  std::vector<TrainedParameter> all;
  for (int node : nodes) all.push_back(facts(graph.nodes[node]));
  return all;
}

std::vector<TrainedParameter> averaged(const Graph& graph) {
  std::vector<TrainedParameter> all;
  for (const auto& name : graph.update.averaged) {
    const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                    [&](const Node& n) { return n.kind == Node::Kind::parameter && n.name == name; });
    if (found == graph.nodes.end())
      throw Failure("USAGE", "train.average.names: the graph has no parameter or buffer '" + name + "'");
    all.push_back(facts(*found));
  }
  return all;
}

}  // namespace

Update::Update(const Graph& graph, const std::vector<int>& trained, std::shared_ptr<NamedTensors> weights)
    : state(std::make_shared<NamedTensors>(weights->device, NamedTensors::Takes::declared)),
      optimizer_(graph.update, facts_of(graph, trained), weights, state) {
  for (int node : trained) names_.push_back(graph.nodes[node].name);
  const auto& spec = graph.update;
  if (spec.accumulate) accumulator_ = std::make_unique<Accumulator>(facts_of(graph, trained), state);
  if (spec.clip > 0) clip_ = std::make_unique<Clip>(spec.clip, state);
  if (spec.average > 0)
    averages_ = std::make_unique<Averages>(spec.average, averaged(graph), std::move(weights), state);
}

void Update::announce(const Order& order) {
  order_ = order;
  skipped_ = false;
  optimizer_.announce(order.lr);
  if (accumulator_) accumulator_->announce(order.images);
  if (averages_ && order.apply) averages_->announce(optimizer_.number());
}

void Update::step(std::vector<at::Tensor> gradients) {
  if (accumulator_) accumulator_->add(gradients);
  if (!order_.apply) return;
  if (accumulator_) accumulator_->take(gradients);
  if (reducer) reducer->reduce(names_, gradients);
  if (clip_) clip_->apply(gradients);
  optimizer_.update(gradients);
  if (averages_) averages_->update();
}

void Update::count() {
  if (skipped_) return;
  if (accumulator_) accumulator_->count(order_.apply);
  if (order_.apply) optimizer_.count();
}

}  // namespace mnv2
