// Frame: one execution's values by node, as its steps see them; Stored: those that outlive it.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "state/named_tensors.h"

namespace mnv2 {

using Feeds = std::map<std::string, at::Tensor>;

inline bool is_stored(const Node& n) { return n.kind == Node::Kind::parameter || n.kind == Node::Kind::constant; }

/** Parameters and constants of a graph, on the weights' device. */
class Stored {
 public:
  Stored(const Graph& graph, std::shared_ptr<NamedTensors> weights) : graph_(graph), weights_(std::move(weights)) {}

  const at::Tensor& operator()(int node);
  at::Device device() const { return weights_->device; }
  /** What is made of stored values (folded filters) is remade when this changes. */
  uint64_t version() const { return weights_->version(); }

 private:
  const Graph& graph_;
  const std::shared_ptr<NamedTensors> weights_;
  std::map<int, at::Tensor> constants_;  // on a device: moved there once
};

struct Frame {
  const Graph& graph;
  Stored& stored;
  const Feeds& feeds;
  const RunContext context;
  const bool grad;                 // under autograd
  std::vector<at::Tensor> values;  // by node; undefined: not computed yet, or no longer needed

  Frame(const Graph& graph, Stored& stored, const Feeds& feeds, const RunContext& context, bool grad)
      : graph(graph), stored(stored), feeds(feeds), context(context), grad(grad), values(graph.nodes.size()) {}

  const Node& node(int index) const { return graph.nodes[index]; }
  /** A stored value is looked up where no step did so. */
  const at::Tensor& value(int node) {
    auto& found = values[node];
    if (!found.defined() && is_stored(graph.nodes[node])) found = stored(node);
    return found;
  }
};

/** What is fed to an input, checked against its description, on `device`. */
at::Tensor fed(const Graph& graph, const Node& input, const Feeds& feeds, at::Device device);

}  // namespace mnv2
