// See program.h; loops are in loop.cc. Everything but construction and describe_plan runs on the engine's thread.
#include "exec/program.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "data/random.h"
#include "device/allocator.h"
#include "device/device.h"
#include "exec/device_loop.h"

namespace mnv2 {

void link(Graph& graph) {
  for (auto& node : graph.nodes) {
    if (node.kind != Node::Kind::op) continue;
    node.function = find_op(node.op);
    if (!node.function) {
      throw Failure("USAGE",
                    "the engine has no op '" + node.op +
                        "': addon and TypeScript differ in version; rebuild with: npx mnv2-torch setup --force",
                    node.path);
    }
  }
}

ProgramCore::ProgramCore(Graph g, std::shared_ptr<NamedTensors> store)
    : graph(std::move(g)), weights(std::move(store)), executor_(graph, weights) {}

ProgramCore::~ProgramCore() = default;
ProgramCore::Trim::~Trim() { trim_cpu_memory(); }

int ProgramCore::node_named(const std::string& name) const {
  auto found = graph.names.find(name);
  if (found != graph.names.end()) return found->second;
  std::string known;
  for (const auto& output : graph.outputs) known += (known.empty() ? "" : ", ") + output;
  throw Failure("USAGE", "fetch: nothing in this program is named '" + name + "'. Its outputs are " + known +
                             "; modules go by their path, as features.3");
}

Plan& ProgramCore::plan_for(const std::vector<int>& fetch, bool train) {
  auto key = fetch;
  key.push_back(train ? -1 : -2);
  auto found = plans_.find(key);
  if (found == plans_.end()) found = plans_.emplace(key, make_plan(graph, fetch, train)).first;
  return found->second;
}

std::vector<std::string> ProgramCore::describe_plan(const std::vector<int>& fetch) const {
  return describe(graph, make_plan(graph, fetch, graph.loss >= 0));
}

/** On a device dropout draws from the default generator: seeded by (seed, step), plain and captured steps agree. */
void ProgramCore::seed_device(const Plan& plan, const RunContext& context) {
  if (!plan.random || weights->device.is_cpu()) return;
  auto generator = at::globalContext().defaultGenerator(weights->device);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(op_seed(context.seed, context.step, 0));
}

/** `order`: what is done with gradients, none: none are taken. */
std::vector<at::Tensor> ProgramCore::execute(Plan& plan, const Feeds& feeds, const RunContext& context,
                                             std::optional<Order> order) {
  if (order) executor_.update->announce(*order);
  auto values = executor_.execute(plan, feeds, context, order.has_value());
  if (order) executor_.update->count();
  return values;
}

std::vector<at::Tensor> ProgramCore::run(const Feeds& feeds, const RunOptions& options) {
  RunContext context;
  context.bf16 = graph.bf16;
  context.seed = options.seed;
  context.step = options.step;
  if (options.lr && graph.loss < 0)
    throw Failure("USAGE", "run: a learning rate was given to a program compiled without `train`");
  auto& plan = plan_for(options.fetch, options.lr.has_value());
  seed_device(plan, context);
#ifdef MNV2_CUDA
  cuda_graph_.clear();
  if (weights->device.is_cuda() && graph.cuda_graph && !plan.grad && !plan.updates_statistics) {
    Feeds there;
    std::vector<int64_t> shapes;
    for (const auto& step : plan.steps) {
      const auto& node = graph.nodes[step->node];
      if (node.kind != Node::Kind::input) continue;
      const auto& value = there[node.name] = fed(graph, node, feeds, weights->device);
      shapes.insert(shapes.end(), value.sizes().begin(), value.sizes().end());
    }
    auto& kept = device_loop(plan, shapes);
    for (const auto& [name, value] : there) {
      auto& still = kept.feeds[name];
      if (still.defined())
        still.copy_(value, /*non_blocking=*/true);
      else
        still = value;
    }
    return graph_step(plan, kept, context, /*order=*/{});
  }
#endif
  std::optional<Order> order;
  if (options.lr) {
    const bool batch = !feeds.empty() && feeds.begin()->second.dim() > 0;
    order = Order{*options.lr, batch ? feeds.begin()->second.size(0) : 1};
  }
  return execute(plan, feeds, context, order);
}

#ifdef MNV2_CUDA
DeviceLoop& ProgramCore::device_loop(Plan& plan, const std::vector<int64_t>& shapes) {
  constexpr size_t kMost = 24;  // graphs keep their activations: a server's sixteen batch sizes, and a loop's
  auto& kept = device_loops_[{&plan, shapes}];
  if (!kept) kept = std::make_unique<DeviceLoop>();
  kept->used = ++device_steps_;
  if (device_loops_.size() > kMost) {
    synchronize(weights->device);  // it may still be replayed
    device_loops_.erase(std::min_element(device_loops_.begin(), device_loops_.end(),
                                         [](const auto& a, const auto& b) { return a.second->used < b.second->used; }));
  }
  return *kept;
}

/** A step on `kept.feeds`, through a graph once it has warmed up; its outputs are overwritten by the next one. */
std::vector<at::Tensor> ProgramCore::graph_step(Plan& plan, DeviceLoop& kept, const RunContext& context,
                                                std::optional<Order> order) {
  if (!plan.grad) {  // a graph that was captured before the weights changed
    c10::InferenceMode inference(!plan.updates_statistics);
    at::NoGradGuard no_grad;
    Frame frame(graph, executor_.stored, kept.feeds, context, plan.grad);
    for (const auto& step : plan.steps) step->refresh(frame);
  }
  if (order) executor_.update->announce(*order);
  kept.graph.step([&] { kept.outputs = executor_.execute(plan, kept.feeds, context, order.has_value()); });
  if (order) executor_.update->count();
  if (order || plan.updates_statistics) weights->touch();
  cuda_graph_ = kept.graph.captured()         ? "captured"
                : kept.graph.reason().empty() ? "too few steps"
                                              : kept.graph.reason();
  // What a plain step returned need not outlive it here; a captured one's stays with the graph.
  return kept.graph.captured() ? kept.outputs : std::exchange(kept.outputs, {});
}
#endif

}  // namespace mnv2
