// Executor: one execution of a plan: forward, gradients, update. Owns what updates.
#pragma once
#include <memory>
#include <vector>

#include "exec/frame.h"
#include "exec/plan.h"
#include "state/update.h"

namespace mnv2 {

class Executor {
 public:
  Executor(const Graph& graph, std::shared_ptr<NamedTensors> weights);

  const std::vector<int> trained;  // nodes of the parameters an update changes
  Stored stored;
  const std::unique_ptr<Update> update;       // none: not a training program
  const std::shared_ptr<NamedTensors> state;  // the update's; without one, empty

  /**
   * Values of the plan's fetch set, of before the update. `train`: also takes the step that `update` was told of.
   */
  std::vector<at::Tensor> execute(Plan& plan, const Feeds& feeds, const RunContext& context, bool train);

 private:
  void forward(Plan& plan, Frame& frame);
  bool worth_a_step(const Frame& frame) const;
  std::vector<at::Tensor> loss_gradients(const Frame& frame) const;

  const Graph& graph_;
  const std::shared_ptr<NamedTensors> weights_;
};

}  // namespace mnv2
