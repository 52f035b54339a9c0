// The steps that fuse nothing: an op of the table, and values that are given.
#pragma once
#include "exec/steps/step.h"

namespace mnv2 {

/** Runs one op of the table on the frame's values. */
at::Tensor run_op(Frame& frame, int node);

class PlainOp : public Step {
 public:
  using Step::Step;
  at::Tensor run(Frame& frame) override { return run_op(frame, node); }
  std::vector<int> reads(const Graph& graph) const override { return graph.nodes[node].inputs; }
  std::string describe(const Graph& graph) const override { return graph.nodes[node].op; }
};

/** An input, a parameter or a constant. */
class Source : public Step {
 public:
  using Step::Step;
  at::Tensor run(Frame& frame) override;
  std::vector<int> reads(const Graph&) const override { return {}; }
  std::string describe(const Graph&) const override { return ""; }
};

}  // namespace mnv2
