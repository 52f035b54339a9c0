// What stays where it is between the steps of a loop, or runs with feeds of one shape, so that one CUDA graph serves
// them all.
#pragma once
#include <vector>

#include "exec/frame.h"

#ifdef MNV2_CUDA
#include "exec/step_graph_cuda.h"
#endif

namespace mnv2 {

struct DeviceLoop {
  Feeds feeds;
  std::vector<at::Tensor> outputs;
  uint64_t used = 0;
#ifdef MNV2_CUDA
  StepGraph graph;
#endif
};

}  // namespace mnv2
