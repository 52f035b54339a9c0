// See timing.h.
#include "exec/timing.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "device/device.h"
#include "graph/ops.h"

#ifdef MNV2_CUDA
#include "exec/step_graph_cuda.h"
#endif

namespace mnv2 {
namespace {

constexpr double kSampleSeconds = 5e-3;  // long beside a launch and a synchronisation
constexpr int kInGraph = 10;

/**
 * `body` runs some times to warm up, then to be timed for the number of repetitions, then `samples` times that often.
 * On CUDA in tens from a graph: on a fast card the host needs longer for a call than the device. Adds to `captured`
 * whether there was one.
 */
std::vector<double> sample(at::Device device, int samples, bool& captured, const std::function<void()>& body) {
  std::function<void()> go = body;
  int64_t per_go = 1;
#ifdef MNV2_CUDA
  StepGraph graph;
  if (device.is_cuda()) {
    const auto ten = [&body] {
      for (int i = 0; i < kInGraph; i++) body();
    };
    go = [&graph, ten] { graph.step(ten); };
    per_go = kInGraph;
  }
#endif
  auto seconds = [&](int64_t times) {
    synchronize(device);
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < times; i++) go();
    synchronize(device);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
           static_cast<double>(times * per_go);
  };
  seconds(per_go > 1 ? 5 : 1);  // a graph is captured at the fourth
  const auto times =
      std::clamp<int64_t>(std::llround(kSampleSeconds / (seconds(3) * static_cast<double>(per_go))), 1, 10000);
  std::vector<double> taken;
  for (int i = 0; i < samples; i++) taken.push_back(seconds(times));
#ifdef MNV2_CUDA
  captured = captured && graph.captured();
#else
  captured = false;
#endif
  return taken;
}

}  // namespace

DepthwiseTimes time_depthwise(const DepthwiseCase& c, int samples) {
  const auto floats = at::TensorOptions().device(c.device).dtype(at::kFloat);
  const auto x = at::randn({c.N, c.C, c.H, c.W}, floats).to(c.dtype).contiguous(at::MemoryFormat::ChannelsLast);
  const auto weight = at::randn({c.C, 1, 3, 3}, floats);
  Attrs attrs;
  const auto stride = static_cast<double>(c.stride);
  attrs.values = {{"stride", std::vector<double>{stride, stride}},
                  {"padding", std::vector<double>(4, 1.0)},
                  {"dilation", std::vector<double>{1, 1}},
                  {"route", c.route}};
  RunContext context;
  context.bf16 = c.dtype == at::kBFloat16;
  const auto operation = find_op("depthwiseConv2d");

  DepthwiseTimes times;
  {
    at::NoGradGuard no_grad;
    times.forward = sample(c.device, samples, times.captured, [&] { operation({x, weight}, attrs, context); });
  }
  at::AutoGradMode grad(true);
  auto gradient = [&](bool of_weight) {
    const auto in = x.detach().requires_grad_(!of_weight), w = weight.detach().requires_grad_(of_weight);
    const auto y = operation({in, w}, attrs, context);
    const torch::autograd::variable_list outputs{y}, inputs{of_weight ? w : in}, seeds{at::randn_like(y)};
    return sample(c.device, samples, times.captured,
                  [&] { torch::autograd::grad(outputs, inputs, seeds, /*retain_graph=*/true); });
  };
  times.input_gradient = gradient(false);
  times.weight_gradient = gradient(true);
  return times;
}

std::vector<double> time_copy(at::Device device, int64_t bytes, int samples) {
  const auto options = at::TensorOptions().device(device).dtype(at::kFloat);
  const auto from = at::zeros({bytes / 4}, options);
  auto to = at::zeros({bytes / 4}, options);
  bool captured = true;
  return sample(device, samples, captured, [&] { to.copy_(from, /*non_blocking=*/true); });
}

}  // namespace mnv2
