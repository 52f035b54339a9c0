// See frame.h.
#include "exec/frame.h"

#include <ATen/ATen.h>

#include "graph/shape.h"

namespace mnv2 {

const at::Tensor& Stored::operator()(int index) {
  const auto& node = graph_.nodes[index];
  if (node.kind == Node::Kind::parameter) {
    if (weights_->has(node.name)) return weights_->get(node.name);
    throw Failure("USAGE",
                  "the graph needs the parameter '" + node.name +
                      "', which these weights do not hold; compile with the weights made by Weights.init(model)");
  }
  if (device().is_cpu()) return node.constant;
  auto& there = constants_[index];
  if (!there.defined()) {
    c10::InferenceMode off(false);  // a training plan may need it later
    there = node.constant.to(device());
  }
  return there;
}

at::Tensor fed(const Graph& graph, const Node& node, const Feeds& feeds, at::Device device) {
  auto found = feeds.find(node.name);
  if (found == feeds.end())
    throw Failure("USAGE", "run: the input '" + node.name + "' is not fed; expected " + shape_text(node.shape));
  const auto& value = found->second;
  if (!fits(value.sizes(), node.shape)) {
    throw Failure("USAGE", "run: input '" + node.name + "' expected shape " + shape_text(node.shape) + ", got " +
                               shape_text(value.sizes()));
  }
  const bool floats = at::isFloatingType(node.dtype);
  const bool already = value.scalar_type() == node.dtype || (graph.bf16 && value.scalar_type() == at::kBFloat16);
  if (!already && floats != at::isFloatingType(value.scalar_type())) {
    throw Failure("USAGE", "run: input '" + node.name + "' expected " + at::toString(node.dtype) + " values, got " +
                               at::toString(value.scalar_type()));
  }
  return value.to(device, already ? value.scalar_type() : node.dtype);
}

}  // namespace mnv2
