// What happens to gradients between the loss and the update: those of several batches become one, long ones are cut.
// What is carried from batch to batch are named tensors.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "state/named_tensors.h"

namespace mnv2 {

/** The mean gradient over the images of several batches: each batch weighs by its images, as in one large batch. */
class Accumulator {
 public:
  /** Declares `optimizer.<parameter>.gathered` in `state`, sums over images, and `optimizer.images`, their number. */
  Accumulator(const std::vector<TrainedParameter>& parameters, std::shared_ptr<NamedTensors> state);

  /** Images of the next batch. */
  void announce(int64_t images);
  /** Adds mean gradients of the batch announced. */
  void add(const std::vector<at::Tensor>& gradients);
  /** Replaces them by those of all images since the last time, and begins anew. */
  void take(std::vector<at::Tensor>& gradients);
  /** After a batch, replayed ones included. */
  void count(bool taken);

 private:
  at::Tensor& sum(size_t parameter);

  const std::shared_ptr<NamedTensors> state_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> sums_;
  int64_t images_ = 0, all_ = 0;  // of the batch; since the last update, it included
  at::Tensor device_images_, device_share_;
};

/** Scales gradients down together so that their common norm is at most `most`, as torch's clip_grad_norm_ does. */
class Clip {
 public:
  /** Declares `optimizer.norm` in `state`, a float64: the norm before the last update, as it was. */
  Clip(double most, std::shared_ptr<NamedTensors> state);
  void apply(std::vector<at::Tensor>& gradients);

 private:
  const double most_;
  const std::shared_ptr<NamedTensors> state_;
};

}  // namespace mnv2
