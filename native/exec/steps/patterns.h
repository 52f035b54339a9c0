// What a pattern is recognised by: the draft of a plan, the list of matchers, and the questions they share.
#pragma once
#include <memory>
#include <set>
#include <vector>

#include "exec/steps/step.h"

namespace mnv2 {

/** A plan in the making: which nodes are needed, who reads them, and the steps that stand so far. */
struct Draft {
  const Graph& graph;
  bool grad = false;  // the plan runs under autograd
  std::set<int> wrt;  // differentiated for: their values must exist
  std::vector<char> needed;
  std::vector<int> uses;                  // readers among needed nodes, plus one if fetched
  std::vector<int> reader;                // the last reader seen
  std::vector<std::unique_ptr<Step>> at;  // where a step's last node stood: by then all it reads is computed
  std::vector<char> absorbed;             // inner nodes of a step

  Draft(const Graph& graph, const std::vector<int>& roots);

  const Node& node(int index) const { return graph.nodes[index]; }
  /** Needed, and part of no step. */
  bool free(int index) const { return needed[index] && !absorbed[index] && !at[index]; }
  /** The only node that looks at this one's value, -1 where there are none or several. */
  int lone_reader(int index) const { return uses[index] == 1 ? reader[index] : -1; }
  /** Puts a step where its last node stands; `inner`: the other nodes it computes, -1 for none. */
  void place(std::unique_ptr<Step> step, std::initializer_list<int> inner);
};

/** Puts a step into the draft where its pattern has `node` in it; otherwise does nothing. */
using Matcher = void (*)(Draft&, int node);

/** Replaces nodes of the draft by the steps of every pattern. */
void match_patterns(Draft& draft);

/** An activation and a residual add behind a node, where nobody else looks at what is between them. */
struct Tail {
  int node;           // the last of them
  int act = -1;       // node of the activation, -1: none
  int residual = -1;  // node added last, -1: none
};
Tail tail_of(const Draft& draft, int node);

/** relu, relu6 or hardtanh as [min, max]; infinities where unbounded, or without an activation (act: -1). */
struct Clamp {
  double min, max;
};
Clamp clamp_of(const Graph& graph, int act);

/** Pads of at most `most`, dilation 1, one stride for both directions. */
bool is_plain(const Node& convolution, int64_t most);
/** One group, a square filter, pads of at most `most`. */
bool is_dense(const Node& node, const std::vector<int64_t>& weight, int64_t most);
/** 1 x 1 over all channels, stride 1, no padding. */
bool is_pointwise(const Node& node, const std::vector<int64_t>& weight);
/** 3 x 3, one filter a channel, pads of at most 2, stride 1 or 2: what our depthwise kernels compute. */
bool is_plain_depthwise(const Graph& graph, const Node& node);
/** Of a depthwise convolution: no route of libtorch's is asked for. */
bool may_be_fused(const Node& convolution);

}  // namespace mnv2
