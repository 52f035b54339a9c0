// Averages: exponential moving averages of weights and running statistics (Polyak and Juditsky 1992), kept beside them.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "state/named_tensors.h"

namespace mnv2 {

class Averages {
 public:
  /** Declares `ema.<name>` in `state` for each tensor that is averaged. */
  Averages(double decay, const std::vector<TrainedParameter>& averaged, std::shared_ptr<NamedTensors> weights,
           std::shared_ptr<NamedTensors> state);

  /**
   * Number of the next update, from 1: early averages forget faster, min(decay, (1 + n) / (10 + n)). Before the first
   * one the averages are the weights.
   */
  void announce(int64_t update);
  /** After the weights have been updated. */
  void update();

 private:
  const double most_;
  const std::shared_ptr<NamedTensors> weights_, state_;
  std::vector<std::string> names_;
  std::vector<std::pair<at::Tensor, at::Tensor>> pairs_;  // average, what is averaged
  double share_ = 0;                                      // of the newest
  at::Tensor device_share_;
};

}  // namespace mnv2
