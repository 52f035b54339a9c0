// Plan: which steps compute a set of nodes, in which order, and when each value dies. Computes nothing itself; what is
// fused is said in steps/.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "exec/steps/step.h"

namespace mnv2 {

struct Plan {
  std::vector<std::unique_ptr<Step>> steps;
  std::vector<int> fetch;
  std::vector<int> gradients;  // gradient nodes: computed once all steps ran
  std::vector<char> leaf;      // per node: something is differentiated with respect to its value
  bool grad = false;           // runs under autograd
  bool random = false;         // has dropout
  bool updates_statistics = false;
};

/** Steps for `fetch` (node indices). `train`: the loss is needed and gradients of the trained parameters are taken. */
Plan make_plan(const Graph& graph, const std::vector<int>& fetch, bool train);

/** One line a step, fused ops joined by '+'. */
std::vector<std::string> describe(const Graph& graph, const Plan& plan);

/** Nodes of the parameters the loss depends on and the optimizer updates, in the graph's order. */
std::vector<int> trained_parameters(const Graph& graph);

}  // namespace mnv2
