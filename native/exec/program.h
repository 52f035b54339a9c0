// ProgramCore: runs plans of one graph: forward, gradients, update, and loops over stores. No N-API here.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "data/images.h"
#include "state/optimizer.h"
#include "exec/plan.h"
#include "state/weights.h"

namespace mnv2 {

/** Rows of one shape on a device: labels, cached features. */
struct RowStore {
  RowStore(int64_t rows, std::vector<int64_t> shape, at::ScalarType dtype, at::Device device);
  at::Tensor values;  // [rows, ...shape]; 4-D ones are channels_last

  void set(const at::Tensor& all);
  at::Tensor gather(const at::Tensor& index) const;
  void scatter(const at::Tensor& index, const at::Tensor& from);
};

using Feeds = std::map<std::string, at::Tensor>;

struct RunOptions {
  std::vector<int> fetch;
  std::optional<double> lr;
  uint64_t step = 0, seed = 0;
};

class DeviceImages;

struct Binding {
  std::shared_ptr<ImageStore> images;  // or
  std::shared_ptr<RowStore> rows;
  std::shared_ptr<DeviceImages> on_device;  // CUDA: of `images`, held while a loop runs
  Preprocess preprocess{};
  std::optional<Augment> augment;
  uint64_t seed = 0, epoch = 0;
  int64_t offset = 0;
};

using Bindings = std::map<std::string, Binding>;

struct LoopSpec {
  std::vector<int32_t> order;
  int64_t batch_size = 1;
  Bindings bind;
  std::vector<double> lr;  // empty: no update
  uint64_t first_step = 0, seed = 0;
  std::vector<int> stack, rows;
  struct Into {
    int node;
    std::shared_ptr<RowStore> store;
    int64_t offset;
  };
  std::vector<Into> into;
  int finite = -1;  // position in `stack`
  double progress_ms = 100;
};

struct LoopResult {
  int64_t steps = 0, examples = 0, diverged = -1;
  bool stopped = false;
  std::vector<std::vector<double>> stack;
  std::vector<at::Tensor> rows;
  double seconds = 0;
  std::string cuda_graph;  // "captured", why not, or "" where graphs were not asked for
};

struct DeviceLoop;

class ProgramCore {
 public:
  ProgramCore(Graph graph, std::shared_ptr<WeightStore> weights);
  ~ProgramCore();

  const Graph graph;
  const std::shared_ptr<WeightStore> weights;
  int node_named(const std::string& name) const;

  std::vector<at::Tensor> run(const Feeds& feeds, const RunOptions& options);
  /** `stop` is asked before each step. */
  LoopResult loop(const LoopSpec& spec, const std::function<bool()>& stop,
                  const std::function<void(int64_t step, const std::vector<double>& sums)>& progress);
  std::vector<std::string> describe_plan(const std::vector<int>& fetch) const;
  /** Of the last run or loop: "captured", why not, or "" where graphs were not asked for. Engine thread. */
  const std::string& cuda_graph() const { return cuda_graph_; }

 private:
  Plan& plan_for(const std::vector<int>& fetch, bool train);
  /** `update`: also lower the loss, at the rate announced by set_rate. */
  std::vector<at::Tensor> execute(Plan& plan, const Feeds& feeds, const RunContext& context, bool update);
  void set_rate(double lr);
  void seed_device(const Plan& plan, const RunContext& context);
  std::vector<at::Tensor> loop_step(Plan& plan, const LoopSpec& spec, const Bindings& bind, const at::Tensor& order,
                                    int64_t first, int64_t count, const RunContext& context);
  void forward(Plan& plan, const Feeds& feeds, RunContext context, std::vector<at::Tensor>& values);
  void run_step(Plan& plan, Step& step, const RunContext& context, std::vector<at::Tensor>& values);
  at::Tensor batch_of(const Binding& binding, const int32_t* order, const at::Tensor& index, const at::Tensor& into);
  at::Tensor fed(const Node& node, const Feeds& feeds) const;
  const at::Tensor& constant(int node);
  const at::Tensor& stored(int node);  // a parameter or constant
  DeviceLoop& device_loop(Plan& plan, const std::vector<int64_t>& shapes);
  std::vector<at::Tensor> graph_step(Plan& plan, DeviceLoop& kept, const RunContext& context, bool update);

  std::vector<char> trained_;  // per node: a parameter the loss depends on and the optimizer updates
  std::map<std::vector<int>, Plan> plans_;
  std::unique_ptr<Optimizer> optimizer_;
  double rate_ = 0;
  int64_t updates_ = 0;
  at::Tensor device_rate_, device_updates_;  // CUDA: what a captured step reads
  std::map<int, at::Tensor> constants_;      // CUDA: moved there once
  std::map<std::pair<Plan*, std::vector<int64_t>>, std::unique_ptr<DeviceLoop>>
      device_loops_;  // by the feeds' shapes; hold graphs
  uint64_t device_steps_ = 0;
  std::string cuda_graph_;
};

/** Builds and checks a graph's functions; throws Failure with the node's path. */
void link(Graph& graph);

}  // namespace mnv2
