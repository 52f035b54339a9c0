// See program.h. Everything here runs on the engine's thread.
#include "exec/program.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <sstream>
#include <utility>

#include "device/allocator.h"
#include "device/device.h"
#include "autograd/fused.h"
#include "exec/infer.h"

#ifdef MNV2_CUDA
#include "state/resident_cuda.h"
#include "exec/step_graph_cuda.h"
#endif

namespace mnv2 {
namespace {

using Kind = Node::Kind;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string shape_text(at::IntArrayRef shape) {
  std::ostringstream text;
  text << '[';
  for (size_t i = 0; i < shape.size(); i++)
    text << (i ? ", " : "") << (shape[i] == -1 ? "None" : std::to_string(shape[i]));
  text << ']';
  return text.str();
}

bool fits(at::IntArrayRef came, const std::vector<int64_t>& expected) {
  if (came.size() != expected.size()) return false;
  for (size_t i = 0; i < expected.size(); i++) {
    if (expected[i] != -1 && came[i] != expected[i]) return false;
  }
  return true;
}

/** (seed, step, node) -> a seed of its own; one odd multiplier a coordinate keeps triples apart. */
uint64_t mix(uint64_t seed, uint64_t step, uint64_t node) {
  return ((seed + 1) * 0x9E3779B97F4A7C15ull) ^ ((step + 1) * 0xC2B2AE3D27D4EB4Full) ^
         ((node + 1) * 0x165667B19E3779F9ull);
}

/** Of a norm_act step, unless it is a hardtanh. */
Act act_of(const Graph& graph, int node) {
  return node < 0 ? Act::none : graph.nodes[node].op == "relu" ? Act::relu : Act::relu6;
}

at::Tensor channels_last(at::Tensor t) { return t.dim() == 4 ? t.contiguous(at::MemoryFormat::ChannelsLast) : t; }

}  // namespace

/** What stays where it is between the steps of a loop, or runs with feeds of one shape, so that one graph serves them
 * all. */
struct DeviceLoop {
  Feeds feeds;
  std::vector<at::Tensor> outputs;
  uint64_t used = 0;
#ifdef MNV2_CUDA
  StepGraph graph;
#endif
};

Failure current_failure(const std::string& path) {
  try {
    throw;
  } catch (const Failure& failure) {
    return {failure.code, failure.what(), failure.path.empty() ? path : failure.path};
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    const bool memory =
        text.find("out of memory") != std::string::npos || text.find("not enough memory") != std::string::npos;
    return {memory ? "OUT_OF_MEMORY" : "TORCH", memory ? text + " Use a smaller batch or image size." : text, path};
  } catch (const std::bad_alloc&) {
    return {"OUT_OF_MEMORY", "out of memory. Use a smaller batch or image size.", path};
  } catch (const std::exception& error) {
    return {"NATIVE", error.what(), path};
  } catch (...) {
    return {"NATIVE", "unknown native exception", path};
  }
}

void link(Graph& graph) {
  for (auto& node : graph.nodes) {
    if (node.kind != Kind::op) continue;
    node.function = find_op(node.op);
    if (!node.function) {
      throw Failure("USAGE",
                    "the engine has no op '" + node.op +
                        "': addon and TypeScript differ in version; rebuild with: npx mnv2-torch setup --force",
                    node.path);
    }
  }
}

RowStore::RowStore(int64_t rows, std::vector<int64_t> shape, at::ScalarType dtype, at::Device device) {
  shape.insert(shape.begin(), rows);
  auto options = at::TensorOptions().dtype(dtype).device(device);
  values = shape.size() == 4 ? at::empty(shape, options, at::MemoryFormat::ChannelsLast) : at::empty(shape, options);
}

void RowStore::set(const at::Tensor& all) {
  if (all.sizes() != values.sizes()) {
    throw Failure("USAGE", "RowStore: expected values of shape " + shape_text(values.sizes()) + ", got " +
                               shape_text(all.sizes()));
  }
  values.copy_(all);
}

at::Tensor RowStore::gather(const at::Tensor& index) const {
  return channels_last(values.index_select(0, index.to(values.device())));
}

void RowStore::scatter(const at::Tensor& index, const at::Tensor& from) {
  values.index_copy_(0, index.to(values.device()), from.to(values.scalar_type()));
}

ProgramCore::ProgramCore(Graph g, std::shared_ptr<WeightStore> store)
    : graph(std::move(g)), weights(std::move(store)), trained_(graph.nodes.size(), 0) {
  if (graph.loss < 0) return;
  std::vector<char> reached(graph.nodes.size(), 0);
  reached[graph.loss] = 1;
  for (int i = graph.loss; i >= 0; i--) {
    if (!reached[i]) continue;
    const auto& node = graph.nodes[i];
    for (int input : node.inputs) reached[input] = 1;
    trained_[i] = node.kind == Kind::parameter && std::count(graph.trained.begin(), graph.trained.end(), node.name) > 0;
  }
}
ProgramCore::~ProgramCore() {
  device_loops_.clear();
  optimizer_.reset();
  plans_.clear();
  trim_cpu_memory();  // the next program needs other sizes
}

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
  if (found == plans_.end()) {
    found = plans_.emplace(key, make_plan(graph, fetch, train)).first;
    for (auto& step : found->second.steps) prepare(step);
  }
  return found->second;
}

std::vector<std::string> ProgramCore::describe_plan(const std::vector<int>& fetch) const {
  return describe(graph, make_plan(graph, fetch, graph.loss >= 0));
}

at::Tensor ProgramCore::fed(const Node& node, const Feeds& feeds) const {
  auto found = feeds.find(node.name);
  if (found == feeds.end())
    throw Failure("USAGE", "run: the input '" + node.name + "' is not fed; expected " + shape_text(node.shape));
  const auto& value = found->second;
  if (!fits(value.sizes(), node.shape)) {
    throw Failure("USAGE", "run: input '" + node.name + "' expected shape " + shape_text(node.shape) + ", got " +
                               shape_text(value.sizes()));
  }
  const bool floats = at::isFloatingType(node.dtype);
  const bool already = value.scalar_type() == node.dtype || (graph.bf16 && value.scalar_type() == at::kBFloat16);
  if (!already && floats != at::isFloatingType(value.scalar_type())) {
    throw Failure("USAGE", "run: input '" + node.name + "' expected " + at::toString(node.dtype) + " values, got " +
                               at::toString(value.scalar_type()));
  }
  return value.to(weights->device, already ? value.scalar_type() : node.dtype);
}

const at::Tensor& ProgramCore::constant(int node) {
  const auto& value = graph.nodes[node].constant;
  if (weights->device.is_cpu()) return value;
  auto& there = constants_[node];
  if (!there.defined()) {
    c10::InferenceMode off(false);  // a training plan may need it later
    there = value.to(weights->device);
  }
  return there;
}

const at::Tensor& ProgramCore::stored(int node) {
  return graph.nodes[node].kind == Kind::parameter ? weights->get(graph.nodes[node].name) : constant(node);
}

void ProgramCore::run_step(Plan& plan, Step& step, const RunContext& context, std::vector<at::Tensor>& values) {
  auto value = [&](int node) -> const at::Tensor& {
    auto& found = values[node];
    if (!found.defined() && is_stored(graph.nodes[node])) found = stored(node);
    return found;
  };
  auto run_op = [&](int index) {
    const auto& node = graph.nodes[index];
    std::vector<at::Tensor> in;
    in.reserve(node.inputs.size());
    for (int input : node.inputs) in.push_back(values[input]);
    auto at_node = context;
    at_node.node = index;
    values[index] = node.function(in, node.attrs, at_node);
  };
  if (step.kind == Step::Kind::fused_conv) {
    values[step.node] = run_fused_conv(graph, step, value, weights->version(), context.bf16);
    return;
  }
  if (step.kind == Step::Kind::separable) {
    values[step.node] = run_separable(graph, step, value, weights->version(), context.bf16);
    return;
  }
  if (step.kind == Step::Kind::norm_depthwise) {
    const auto &first = graph.nodes[step.parts[0].norm], &conv = graph.nodes[step.parts[1].node],
               &second = graph.nodes[step.parts[2].norm];
    const auto &x = values[first.inputs[0]], &weight = values[conv.inputs[1]];
    const auto stride = conv.attrs.integers("stride"), pads = conv.attrs.integers("padding");
    const auto filters = x.is_cuda() ? weight : weight.to(x.scalar_type());
    if (norm_act_takes(x) && weight.scalar_type() == at::kFloat &&
        depthwise_takes(x, filters, stride, pads, conv.attrs.integers("dilation"))) {
      auto norm = [&](const Step& part) {
        const auto& n = graph.nodes[part.norm];
        return TrainedNorm{values[n.inputs[1]],    values[n.inputs[2]],        values[n.inputs[3]],
                           values[n.inputs[4]],    n.attrs.number("momentum"), n.attrs.number("eps"),
                           act_of(graph, part.act)};
      };
      values[step.node] = norm_depthwise_norm(x, norm(step.parts[0]), filters, stride[0], pads, norm(step.parts[2]));
      return;
    }
    for (auto& part : step.parts) run_step(plan, part, context, values);
    for (int inner : {step.parts[0].node, step.parts[1].node}) values[inner].reset();
    return;
  }
  if (step.kind == Step::Kind::norm_act) {
    const auto& norm = graph.nodes[step.norm];
    const auto& x = values[norm.inputs[0]];
    const bool known = step.act < 0 || graph.nodes[step.act].op != "hardtanh";
    if (known && norm_act_takes(x)) {
      values[step.node] = norm_act(x, values[norm.inputs[1]], values[norm.inputs[2]], values[norm.inputs[3]],
                                   values[norm.inputs[4]], step.residual >= 0 ? values[step.residual] : at::Tensor(),
                                   {norm.attrs.flag("training"), norm.attrs.number("momentum"),
                                    norm.attrs.number("eps"), act_of(graph, step.act)});
      return;
    }
    for (int part : {step.norm, step.act, step.residual >= 0 ? step.node : -1}) {
      if (part >= 0) run_op(part);
    }
    return;
  }
  run_op(step.node);
}

void ProgramCore::forward(Plan& plan, const Feeds& feeds, RunContext context, std::vector<at::Tensor>& values) {
  for (auto& step : plan.steps) {
    const auto& node = graph.nodes[step.node];
    try {
      switch (node.kind) {
        case Kind::input:
          values[step.node] = plan.grad ? channels_last(fed(node, feeds)) : fed(node, feeds);
          break;  // inference: the first step knows best
        case Kind::parameter:
        case Kind::constant: values[step.node] = stored(step.node); break;
        case Kind::gradient: continue;
        case Kind::op: run_step(plan, step, context, values); break;
      }
      auto& value = values[step.node];
      if (!fits(value.sizes(), node.shape)) {
        throw Failure("SHAPE", node.op + ": the graph says " + shape_text(node.shape) + ", the engine computed " +
                                   shape_text(value.sizes()));
      }
      if (plan.grad) {
        const bool wanted =
            trained_[step.node] || std::find(plan.wrt.begin(), plan.wrt.end(), step.node) != plan.wrt.end();
        if (wanted && !value.requires_grad()) value = value.detach().requires_grad_(true);
      }
    } catch (...) {
      throw current_failure(node.path);
    }
    for (int dead : step.release) values[dead].reset();
  }
}

void ProgramCore::set_rate(double lr) {
  rate_ = lr;
  updates_++;
  if (weights->device.is_cpu()) return;
  if (!device_rate_.defined()) {
    const auto scalar = at::TensorOptions().dtype(at::kFloat).device(weights->device);
    device_rate_ = at::empty({}, scalar);
    device_updates_ = at::empty({}, scalar);
  }
  device_rate_.fill_(lr);
  device_updates_.fill_(updates_);
}

/** On a device dropout draws from the default generator: seeded by (seed, step), plain and captured steps agree. */
void ProgramCore::seed_device(const Plan& plan, const RunContext& context) {
  if (!plan.random || weights->device.is_cpu()) return;
  auto generator = at::globalContext().defaultGenerator(weights->device);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(mix(context.seed, context.step, 0));
}

std::vector<at::Tensor> ProgramCore::execute(Plan& plan, const Feeds& feeds, const RunContext& context, bool update) {
  std::vector<at::Tensor> values(graph.nodes.size());
  if (!plan.grad) {
    c10::InferenceMode inference(!plan.updates_statistics);
    at::NoGradGuard no_grad;
    forward(plan, feeds, context, values);
    if (plan.updates_statistics) weights->touch();
  } else {
    at::AutoGradMode grad(true);
    forward(plan, feeds, context, values);
    std::map<int, std::vector<int>> wanted;  // loss -> gradient nodes
    for (const auto& step : plan.steps) {
      const auto& node = graph.nodes[step.node];
      if (node.kind == Kind::gradient) wanted[node.inputs[0]].push_back(step.node);
    }
    auto differentiate = [&](int loss, const std::vector<at::Tensor>& wrt, bool keep) {
      if (!values[loss].requires_grad()) return std::vector<at::Tensor>(wrt.size());
      return torch::autograd::grad({values[loss]}, wrt, {}, keep, /*create_graph=*/false, /*allow_unused=*/true);
    };
    try {
      for (const auto& [loss, nodes] : wanted) {
        std::vector<at::Tensor> wrt;
        for (int node : nodes) wrt.push_back(values[graph.nodes[node].inputs[1]]);
        const auto gradients = differentiate(loss, wrt, /*keep=*/true);
        for (size_t i = 0; i < nodes.size(); i++) {
          values[nodes[i]] = gradients[i].defined() ? gradients[i] : at::zeros_like(wrt[i]);
        }
      }
      if (update) {
        std::vector<at::Tensor> leaves;
        for (size_t i = 0; i < graph.nodes.size(); i++) {
          if (trained_[i]) leaves.push_back(values[i]);
        }
        const auto gradients = differentiate(graph.loss, leaves, /*keep=*/false);
        if (!optimizer_) {
          std::vector<at::Tensor> parameters;
          for (const auto& leaf : leaves) parameters.push_back(leaf.detach());  // shares the weights' storage
          optimizer_ = std::make_unique<Optimizer>(graph.optimizer, std::move(parameters));
        }
        if (weights->device.is_cpu())
          optimizer_->step(gradients, rate_);
        else
          optimizer_->step_on_device(gradients, device_rate_, device_updates_);
      }
    } catch (...) {
      throw current_failure();
    }
    weights->touch();
  }
  std::vector<at::Tensor> out;
  for (int node : plan.fetch) {
    auto value = values[node].detach();
    const auto declared = graph.nodes[node].dtype;
    out.push_back(value.scalar_type() == declared || !at::isFloatingType(declared) ? value : value.to(declared));
  }
  return out;
}

std::vector<at::Tensor> ProgramCore::run(const Feeds& feeds, const RunOptions& options) {
  RunContext context;
  context.bf16 = graph.bf16;
  context.seed = options.seed;
  context.step = options.step;
  if (options.lr && graph.loss < 0)
    throw Failure("USAGE", "run: a learning rate was given to a program compiled without `train`");
  auto& plan = plan_for(options.fetch, options.lr.has_value());
  if (options.lr) set_rate(*options.lr);
  seed_device(plan, context);
#ifdef MNV2_CUDA
  cuda_graph_.clear();
  if (weights->device.is_cuda() && graph.cuda_graph && !plan.grad && !plan.updates_statistics) {
    Feeds there;
    std::vector<int64_t> shapes;
    for (const auto& step : plan.steps) {
      const auto& node = graph.nodes[step.node];
      if (node.kind != Kind::input) continue;
      const auto& value = there[node.name] = fed(node, feeds);
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
    return graph_step(plan, kept, context, /*update=*/false);
  }
#endif
  return execute(plan, feeds, context, options.lr.has_value());
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
std::vector<at::Tensor> ProgramCore::graph_step(Plan& plan, DeviceLoop& kept, const RunContext& context, bool update) {
  if (!plan.grad) {  // a graph that was captured before the weights changed
    c10::InferenceMode inference(!plan.updates_statistics);
    at::NoGradGuard no_grad;
    refold(
        graph, plan.steps, [&](int node) -> const at::Tensor& { return stored(node); }, weights->version(),
        context.bf16);
  }
  kept.graph.step([&] { kept.outputs = execute(plan, kept.feeds, context, update); });
  if (update || plan.updates_statistics) weights->touch();
  cuda_graph_ = kept.graph.captured()         ? "captured"
                : kept.graph.reason().empty() ? "too few steps"
                                              : kept.graph.reason();
  // What a plain step returned need not outlive it here; a captured one's stays with the graph.
  return kept.graph.captured() ? kept.outputs : std::exchange(kept.outputs, {});
}
#endif

/** `order` is on the host, `index` the same numbers on the program's device. May be written into `into`, if that is
 * defined. */
at::Tensor ProgramCore::batch_of(const Binding& b, const int32_t* order, const at::Tensor& index,
                                 [[maybe_unused]] const at::Tensor& into) {
  if (b.rows) return b.rows->gather(b.offset ? index + b.offset : index);
  const auto& s = *b.images;
  const int64_t count = index.numel();
#ifdef MNV2_CUDA
  if (b.on_device && count <= DeviceImages::kMost) {
    return b.on_device->batch(s, order, index, b.preprocess, b.augment ? &*b.augment : nullptr, b.seed, b.epoch,
                              graph.bf16 ? at::kBFloat16 : at::kFloat, into);
  }
#endif
  auto options = at::TensorOptions().dtype(at::kFloat).pinned_memory(weights->device.is_cuda());
  auto batch = at::empty({count, s.height(), s.width(), s.channels()}, options);  // [N, H, W, C]
  float* out = batch.data_ptr<float>();
  const int64_t size = batch.numel() / count;
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      s.load(order[i], b.preprocess, b.augment ? &*b.augment : nullptr, b.seed, b.epoch, out + i * size);
    }
  });
  return batch.permute({0, 3, 1, 2}).to(weights->device, /*non_blocking=*/true);  // [N, C, H, W], channels_last
}

/** One step on examples first .. first + count of the order; on CUDA through a graph where steps repeat. */
std::vector<at::Tensor> ProgramCore::loop_step(Plan& plan, const LoopSpec& spec, const Bindings& bind,
                                               const at::Tensor& order, int64_t first, int64_t count,
                                               const RunContext& context) {
  const bool update = !spec.lr.empty();
  const auto index = order.slice(0, first, first + count);
  const int32_t* rows = spec.order.data() + first;
  seed_device(plan, context);
#ifdef MNV2_CUDA
  if (weights->device.is_cuda() && graph.cuda_graph && count == spec.batch_size) {
    std::vector<int64_t> shapes{count};
    for (const auto& [name, b] : bind) {
      const auto row = b.rows ? b.rows->values.sizes().slice(1).vec()
                              : std::vector<int64_t>{b.images->channels(), b.images->height(), b.images->width()};
      shapes.insert(shapes.end(), row.begin(), row.end());
    }
    auto& kept = device_loop(plan, shapes);
    for (const auto& [name, binding] : bind) {
      auto& still = kept.feeds[name];
      const auto batch = batch_of(binding, rows, index, still);
      if (!still.defined())
        still = batch;
      else if (!batch.is_same(still))
        still.copy_(batch, /*non_blocking=*/true);
    }
    return graph_step(plan, kept, context, update);
  }
#endif
  Feeds feeds;
  for (const auto& [name, binding] : bind) feeds[name] = batch_of(binding, rows, index, {});
  return execute(plan, feeds, context, update);
}

LoopResult ProgramCore::loop(const LoopSpec& spec, const std::function<bool()>& stop,
                             const std::function<void(int64_t, const std::vector<double>&)>& progress) {
  const auto start = Clock::now();
  auto reported = start;
  const int64_t total = static_cast<int64_t>(spec.order.size());
  const int64_t steps = (total + spec.batch_size - 1) / spec.batch_size;
  const bool train = !spec.lr.empty();
  if (train && graph.loss < 0)
    throw Failure("USAGE", "loop: learning rates were given to a program compiled without `train`");
  std::vector<int> fetch = spec.stack;
  fetch.insert(fetch.end(), spec.rows.begin(), spec.rows.end());
  for (const auto& into : spec.into) fetch.push_back(into.node);
  auto& plan = plan_for(fetch, train);

  LoopResult result;
  std::vector<std::vector<at::Tensor>> collected(spec.rows.size());
  const auto device = weights->device;
  auto bind = spec.bind;
#ifdef MNV2_CUDA
  for (auto& [name, b] : bind) {
    if (device.is_cuda() && b.images) b.on_device = DeviceImages::of(b.images, device);
  }
#endif
  cuda_graph_.clear();
  auto order = at::empty({total}, at::kLong);
  std::copy(spec.order.begin(), spec.order.end(), order.data_ptr<int64_t>());
  order = order.to(device);
  // Scalars stay on the device until somebody looks: reading one would wait for the step.
  auto record = at::zeros({static_cast<int64_t>(spec.stack.size()), steps},
                          at::TensorOptions().dtype(at::kDouble).device(device));
  int64_t summed = 0;
  std::vector<double> sums(spec.stack.size());
  auto look = [&] {  // reads the steps since the last look; false at a number that is not finite
    const auto fresh = record.slice(1, summed, result.steps).to(at::kCPU).contiguous();
    const double* numbers = fresh.data_ptr<double>();
    const int64_t count = fresh.size(1);
    for (int64_t s = 0; s < count; s++) {
      for (size_t i = 0; i < sums.size(); i++) sums[i] += numbers[i * count + s];
      if (spec.finite >= 0 && !std::isfinite(numbers[spec.finite * count + s])) {
        result.diverged = summed + s;
        return false;
      }
    }
    summed = result.steps;
    return true;
  };
  for (int64_t s = 0; s < steps; s++) {
    if (stop()) {
      result.stopped = true;
      break;
    }
    const int64_t first = s * spec.batch_size, count = std::min(spec.batch_size, total - first);
    RunContext context;
    context.bf16 = graph.bf16;
    context.seed = spec.seed;
    context.step = spec.first_step + s;
    if (train) set_rate(spec.lr[s]);
    const auto values = loop_step(plan, spec, bind, order, first, count, context);

    size_t at = 0;
    for (size_t i = 0; i < spec.stack.size(); i++) record[i][s].copy_(values[at++]);
    // A captured step overwrites its outputs: what is kept is copied.
    for (auto& rows : collected) rows.push_back(values[at++].to(at::kCPU, /*non_blocking=*/false, /*copy=*/true));
    for (const auto& into : spec.into) {
      const auto index = order.slice(0, first, first + count);
      into.store->scatter(into.offset ? index + into.offset : index, values[at++]);
    }
    result.steps++;
    result.examples += count;
    const bool report = progress && seconds_since(reported) * 1000 >= spec.progress_ms;
    // Reading is free on the CPU; on a device it waits, so only with a report, or now and then to notice divergence.
    if ((device.is_cpu() || report || s % 64 == 63) && !look()) break;
    if (report) {
      reported = Clock::now();
      progress(result.steps, sums);
    }
  }
  if (result.diverged < 0) look();
  const auto numbers = record.slice(1, 0, result.steps).to(at::kCPU).contiguous();
  for (size_t i = 0; i < spec.stack.size(); i++) {
    const double* row = numbers.data_ptr<double>() + i * result.steps;
    result.stack.emplace_back(row, row + result.steps);
  }
  for (auto& rows : collected) {
    if (!rows.empty()) result.rows.push_back(at::cat(rows, 0));
  }
  synchronize(device);  // what was written to stores is there
  result.seconds = seconds_since(start);
  result.cuda_graph = cuda_graph_;
  return result;
}

}  // namespace mnv2
