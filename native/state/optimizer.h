// Optimizer: one update of named parameters in place. What it remembers from step to step (moments, the number of
// updates) are named tensors: written to another optimizer of the same kind, they make its next update the same.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "state/named_tensors.h"

namespace mnv2 {

class Optimizer {
 public:
  /** Declares `optimizer.<parameter>.<slot>` in `state`, and `optimizer.updates`, an int64 on the host. */
  Optimizer(const UpdateSpec& spec, const std::vector<TrainedParameter>& parameters,
            std::shared_ptr<NamedTensors> weights, std::shared_ptr<NamedTensors> state);

  /** The learning rate of the next update. */
  void announce(double lr);
  /** Number of the update announced, from 1. */
  int64_t number() const { return step_; }
  /**
   * `gradients[i]` belongs to parameter i; an undefined one leaves its parameter alone. On a device rate and count are
   * read there, so that the update can be captured in a CUDA graph.
   */
  void update(const std::vector<at::Tensor>& gradients);
  /** After an update, replayed ones included. */
  void count();

 private:
  /** A parameter, what is remembered of it (undefined where the optimizer has no such slot), and what is its own. */
  struct Slots {
    at::Tensor parameter, momentum, square;
    double rate, decay;  // factor of the learning rate; weight decay
  };
  int64_t& updates();
  void on_host(Slots& slots, const at::Tensor& gradient) const;
  void on_device(Slots& slots, const at::Tensor& gradient) const;

  const UpdateSpec update_;
  const OptimizerSpec& spec_ = update_.optimizer;
  const std::shared_ptr<NamedTensors> weights_, state_;
  std::vector<std::string> names_;
  std::string momentum_, square_;  // what the slots are called; empty: there is none
  std::vector<Slots> slots_;       // of each parameter, from the first update on: entries stay where they are
  double rate_ = 0;
  int64_t step_ = 0;                      // number of the update under way, from 1
  at::Tensor device_rate_, device_step_;  // the same on a device
};

}  // namespace mnv2
