// Step: one unit of a plan. A pattern of nodes that runs as one step is a class of its own in this folder, with a
// matcher in the list of patterns.h; every other node is a PlainOp or a Source.
#pragma once
#include <string>
#include <vector>

#include "exec/frame.h"

namespace mnv2 {

class Step {
 public:
  explicit Step(int node) : node(node) {}
  virtual ~Step() = default;

  const int node;            // whose value it computes
  std::vector<int> release;  // values nobody reads after this step

  virtual at::Tensor run(Frame& frame) = 0;
  /** Nodes whose values it needs. */
  virtual std::vector<int> reads(const Graph& graph) const = 0;
  /** Its ops as `plan()` prints them, joined by '+'; empty: not shown. */
  virtual std::string describe(const Graph& graph) const = 0;

  /** It keeps what it makes of its weights: those are looked up when they changed, not in every run. */
  virtual bool keeps_weights() const { return false; }
  /** Brings what it keeps up to the weights' version; on CUDA in place, as a captured graph goes on reading it. */
  virtual void refresh(Frame&) {}
};

}  // namespace mnv2
