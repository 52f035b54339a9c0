// Executor: one execution of a plan: forward, gradients, reduce, update. Owns the optimizer.
#pragma once
#include <memory>
#include <vector>

#include "exec/frame.h"
#include "exec/plan.h"
#include "exec/reducer.h"
#include "state/optimizer.h"

namespace mnv2 {

class Executor {
 public:
  Executor(const Graph& graph, std::shared_ptr<NamedTensors> weights);

  const std::vector<int> trained;  // nodes of the parameters an update changes
  Stored stored;
  const std::unique_ptr<Optimizer> optimizer;  // none: not a training program
  const std::shared_ptr<NamedTensors> state;   // the optimizer's; without one, empty
  std::shared_ptr<Reducer> reducer;            // none: this process trains alone

  /**
   * Values of the plan's fetch set, of before the update. `update`: also lowers the loss, at the rate the optimizer was
   * told.
   */
  std::vector<at::Tensor> execute(Plan& plan, const Feeds& feeds, const RunContext& context, bool update);

 private:
  void forward(Plan& plan, Frame& frame);
  std::vector<at::Tensor> loss_gradients(const Frame& frame) const;

  const Graph& graph_;
  const std::shared_ptr<NamedTensors> weights_;
};

}  // namespace mnv2
