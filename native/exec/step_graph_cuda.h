// StepGraph: one step of a loop, run plainly a few times, then captured as a CUDA graph and replayed. Owns the graph.
#pragma once
#include <ATen/cuda/CUDAGraph.h>

#include <functional>
#include <memory>
#include <string>

namespace mnv2 {

class StepGraph {
 public:
  /**
   * Runs one step. `body` reads and writes only memory that stays where it is between steps. The first calls run it
   * plainly: those are real steps, so that warming up needs nothing restored afterwards.
   */
  void step(const std::function<void()>& body);

  bool captured() const { return graph_ != nullptr; }
  /** Why steps run plainly though a graph was wanted; empty while none failed. */
  const std::string& reason() const { return reason_; }

 private:
  static constexpr int kWarmUp = 3;
  int steps_ = 0;
  std::unique_ptr<at::cuda::CUDAGraph> graph_;
  std::string reason_;
};

}  // namespace mnv2
