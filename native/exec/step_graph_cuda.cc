// See step_graph.h.
#include "exec/step_graph_cuda.h"

#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include "errors.h"

namespace mnv2 {

void StepGraph::step(const std::function<void()>& body) {
  if (graph_) return graph_->replay();
  if (steps_++ < kWarmUp || !reason_.empty()) return body();

  auto stream = c10::cuda::getCurrentCUDAStream();
  stream.synchronize();
  auto graph = std::make_unique<at::cuda::CUDAGraph>();
  bool begun = false;
  try {
    // Only this thread's calls can spoil the capture: the JavaScript thread may allocate meanwhile.
    graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    begun = true;
    body();
    graph->capture_end();
  } catch (...) {
    reason_ = current_failure().what();
    if (begun) {
      // Leave the stream usable: an invalidated capture still has to be ended.
      try {
        graph->capture_end();
      } catch (...) {
      }
    }
    cudaGetLastError();
    return body();
  }
  graph_ = std::move(graph);
  graph_->replay();  // capturing computed nothing
}

}  // namespace mnv2
