// Update: from the gradients of a batch to changed parameters: gathered, reduced, clipped, applied, averaged. Owns all
// that a training remembers from step to step besides the weights.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "state/averages.h"
#include "state/gradients.h"
#include "state/optimizer.h"
#include "state/reducer.h"

namespace mnv2 {

/** What a step does with its gradients. */
struct Order {
  double lr;
  int64_t images;            // of the batch
  bool apply = true;         // false: only gathered, for a later update
  bool only_finite = false;  // on the CPU: a loss that is not finite changes nothing
};

class Update {
 public:
  Update(const Graph& graph, const std::vector<int>& trained, std::shared_ptr<NamedTensors> weights);

  /** Named tensors of the optimizer, of gathered gradients and of averages, each only where there is such a thing. */
  const std::shared_ptr<NamedTensors> state;
  std::shared_ptr<Reducer> reducer;  // none: this process trains alone

  /** Of the next step. Outside of any capture. */
  void announce(const Order& order);
  const Order& order() const { return order_; }
  /** `gradients[i]` belongs to trained parameter i; an undefined one leaves its parameter alone. */
  void step(std::vector<at::Tensor> gradients);
  /** Instead of `step`: nothing is changed, nothing counted. */
  void skip() { skipped_ = true; }
  /** After a step, replayed ones included. */
  void count();

 private:
  std::vector<std::string> names_;
  Optimizer optimizer_;
  std::unique_ptr<Accumulator> accumulator_;
  std::unique_ptr<Clip> clip_;
  std::unique_ptr<Averages> averages_;
  Order order_{};
  bool skipped_ = false;
};

}  // namespace mnv2
