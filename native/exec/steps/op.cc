// See op.h.
#include "exec/steps/op.h"

#include <ATen/ATen.h>

namespace mnv2 {

at::Tensor run_op(Frame& frame, int index) {
  const auto& node = frame.node(index);
  std::vector<at::Tensor> in;
  in.reserve(node.inputs.size());
  for (int input : node.inputs) in.push_back(frame.values[input]);
  auto context = frame.context;
  context.node = index;
  return node.function(in, node.attrs, context);
}

at::Tensor Source::run(Frame& frame) {
  const auto& source = frame.node(node);
  if (source.kind != Node::Kind::input) return frame.stored(node);
  auto value = fed(frame.graph, source, frame.feeds, frame.stored.device());
  // Without gradients the first step knows best which layout it wants.
  return frame.grad && value.dim() == 4 ? value.contiguous(at::MemoryFormat::ChannelsLast) : value;
}

}  // namespace mnv2
