// See executor.h. Everything here runs on the engine's thread.
#include "exec/executor.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>

#include "graph/shape.h"

namespace mnv2 {
namespace {

/** `keep`: others differentiate through the same values afterwards. */
std::vector<at::Tensor> differentiate(const at::Tensor& loss, const std::vector<at::Tensor>& wrt, bool keep) {
  if (!loss.requires_grad()) return std::vector<at::Tensor>(wrt.size());
  return torch::autograd::grad({loss}, wrt, {}, keep, /*create_graph=*/false, /*allow_unused=*/true);
}

/** The graph's own gradient nodes. */
void compute_gradients(const Plan& plan, Frame& frame) {
  std::map<int, std::vector<int>> by_loss;
  for (int node : plan.gradients) by_loss[frame.node(node).inputs[0]].push_back(node);
  for (const auto& [loss, nodes] : by_loss) {
    std::vector<at::Tensor> wrt;
    for (int node : nodes) wrt.push_back(frame.values[frame.node(node).inputs[1]]);
    const auto gradients = differentiate(frame.values[loss], wrt, /*keep=*/true);
    for (size_t i = 0; i < nodes.size(); i++)
      frame.values[nodes[i]] = gradients[i].defined() ? gradients[i] : at::zeros_like(wrt[i]);
  }
}

}  // namespace

Executor::Executor(const Graph& graph, std::shared_ptr<NamedTensors> weights)
    : trained(trained_parameters(graph)),
      stored(graph, weights),
      update(graph.loss < 0 ? nullptr : std::make_unique<Update>(graph, trained, weights)),
      state(update ? update->state : std::make_shared<NamedTensors>(weights->device, NamedTensors::Takes::declared)),
      graph_(graph),
      weights_(std::move(weights)) {}

std::vector<at::Tensor> Executor::execute(Plan& plan, const Feeds& feeds, const RunContext& context, bool train) {
  Frame frame(graph_, stored, feeds, context, plan.grad);
  if (plan.grad) {
    at::AutoGradMode grad(true);
    forward(plan, frame);
    compute_gradients(plan, frame);
    if (train && worth_a_step(frame))
      update->step(loss_gradients(frame));
    else if (train)
      update->skip();
    weights_->touch();
  } else {
    c10::InferenceMode inference(!plan.updates_statistics);
    at::NoGradGuard no_grad;
    forward(plan, frame);
    if (plan.updates_statistics) weights_->touch();
  }
  std::vector<at::Tensor> out;
  for (int node : plan.fetch) {
    auto value = frame.values[node].detach();
    const auto declared = graph_.nodes[node].dtype;
    out.push_back(value.scalar_type() == declared || !at::isFloatingType(declared) ? value : value.to(declared));
  }
  return out;
}

void Executor::forward(Plan& plan, Frame& frame) {
  for (auto& step : plan.steps) {
    const auto& node = graph_.nodes[step->node];
    auto& value = frame.values[step->node];
    try {
      value = step->run(frame);
      if (!fits(value.sizes(), node.shape)) {
        throw Failure("SHAPE", node.op + ": the graph says " + shape_text(node.shape) + ", the engine computed " +
                                   shape_text(value.sizes()));
      }
      if (plan.grad && plan.leaf[step->node] && !value.requires_grad()) value = value.detach().requires_grad_(true);
    } catch (...) {
      throw current_failure(node.path);
    }
    for (int dead : step->release) frame.values[dead].reset();
  }
}

/** Reading is free on the CPU; on a device it would wait for the step. */
bool Executor::worth_a_step(const Frame& frame) const {
  if (!update->order().only_finite || !weights_->device.is_cpu()) return true;
  return std::isfinite(frame.values[graph_.loss].item<double>());
}

std::vector<at::Tensor> Executor::loss_gradients(const Frame& frame) const {
  std::vector<at::Tensor> leaves;
  for (int node : trained) leaves.push_back(frame.values[node]);
  return differentiate(frame.values[graph_.loss], leaves, /*keep=*/false);
}

}  // namespace mnv2
