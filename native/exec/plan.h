// Plan: which steps compute a set of nodes, what is fused, and when each value dies. Computes nothing itself.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "kernels/loops.h"

namespace mnv2 {

struct PackedConv;   // folded, prepacked weights; infer.cc owns them
struct PackedBlock;  // those of a separable step

struct Step {
  enum class Kind { op, fused_conv, norm_act, separable, norm_depthwise };
  Kind kind = Kind::op;
  int node = -1;                       // whose value the step produces
  int conv = -1;                       // fused_conv
  int norm = -1;                       // norm_act, and fused_conv with a BatchNorm to fold
  int act = -1;                        // node of the activation, -1: none
  int residual = -1;                   // node added last, -1: none
  std::vector<int> release;            // values nobody reads after this step
  std::shared_ptr<PackedConv> packed;  // filled on first run
  std::vector<Step> parts;             // separable: [dense,] [depthwise,] pointwise, each a fused_conv;
                                       // norm_depthwise: norm_act, depthwise op, norm_act
  std::shared_ptr<PackedBlock> block;  // filled on first run
};

struct Plan {
  std::vector<Step> steps;
  std::vector<int> fetch;
  std::vector<int> wrt;  // nodes differentiated for, aligned with nothing: a set
  bool grad = false;     // runs under autograd
  bool random = false;   // has dropout
  bool updates_statistics = false;
};

inline bool is_stored(const Node& n) { return n.kind == Node::Kind::parameter || n.kind == Node::Kind::constant; }

/** Steps for `fetch` (node indices). `train`: the loss is needed and gradients of the trained parameters are taken. */
Plan make_plan(const Graph& graph, const std::vector<int>& fetch, bool train);

/** One line a step, fused ops joined by '+'. */
std::vector<std::string> describe(const Graph& graph, const Plan& plan);

/** The activation of a fused step as [min, max]; infinities where unbounded. */
struct Clamp {
  double min, max;
};
Clamp clamp_of(const Graph& graph, int act);

}  // namespace mnv2
