// ProgramCore: runs plans of one graph, once or in loops. Owns the plans and, on CUDA, captured steps. No N-API here.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "exec/executor.h"
#include "exec/loop.h"
#include "exec/plan.h"
#include "graph/graph.h"

namespace mnv2 {

struct RunOptions {
  std::vector<int> fetch;
  std::optional<double> lr;
  uint64_t step = 0, seed = 0;
};

struct DeviceLoop;

class ProgramCore {
  /** The next program needs blocks of other sizes. First, so that it comes after everything below has been freed. */
  struct Trim {
    ~Trim();
  } trim_;

 public:
  ProgramCore(Graph graph, std::shared_ptr<NamedTensors> weights);
  ~ProgramCore();

  const Graph graph;
  const std::shared_ptr<NamedTensors> weights;
  /** What a training program remembers besides the weights: see Optimizer. Empty for others. */
  const std::shared_ptr<NamedTensors>& state() const { return executor_.state; }
  int node_named(const std::string& name) const;

  std::vector<at::Tensor> run(const Feeds& feeds, const RunOptions& options);
  /** `stop` is asked before each step. */
  LoopResult loop(const LoopSpec& spec, const std::function<bool()>& stop, const Progress& progress);
  std::vector<std::string> describe_plan(const std::vector<int>& fetch) const;
  /** Of the last run or loop: "captured", why not, or "" where graphs were not asked for. Engine thread. */
  const std::string& cuda_graph() const { return cuda_graph_; }
  /** Of a training program, from the next step on; none: gradients are applied as they are. */
  void reduce_with(std::shared_ptr<Reducer> reducer) { executor_.update->reducer = std::move(reducer); }

 private:
  Plan& plan_for(const std::vector<int>& fetch, bool train);
  void seed_device(const Plan& plan, const RunContext& context);
  std::vector<at::Tensor> execute(Plan& plan, const Feeds& feeds, const RunContext& context,
                                  std::optional<Order> order);
  std::vector<at::Tensor> loop_step(Plan& plan, const LoopSpec& spec, const Bindings& bind, const at::Tensor& index,
                                    int64_t step, const RunContext& context);
  at::Tensor batch_of(const Binding& binding, const LoopBatch& batch, uint64_t step, const at::Tensor& into);
  DeviceLoop& device_loop(Plan& plan, const std::vector<int64_t>& shapes);
  std::vector<at::Tensor> graph_step(Plan& plan, DeviceLoop& kept, const RunContext& context,
                                     std::optional<Order> order);

  Executor executor_;
  std::map<std::vector<int>, Plan> plans_;
  std::map<std::pair<Plan*, std::vector<int64_t>>, std::unique_ptr<DeviceLoop>>
      device_loops_;  // by the feeds' shapes; hold graphs
  uint64_t device_steps_ = 0;
  std::string cuda_graph_;
};

/** Builds and checks a graph's functions; throws Failure with the node's path. */
void link(Graph& graph);

}  // namespace mnv2
