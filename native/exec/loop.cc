// ProgramCore::loop: steps over the examples of an order, what they return, and when they end. See program.h.
#include "exec/loop.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "autograd/fused.h"
#include "device/device.h"
#include "exec/device_loop.h"
#include "exec/program.h"

#ifdef MNV2_CUDA
#include "state/resident_cuda.h"
#endif

namespace mnv2 {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/** The stacked scalars of a loop's steps. They stay on the device until somebody looks: reading waits for the step. */
class Record {
 public:
  Record(int64_t scalars, int64_t steps, int finite, at::Device device)
      : sums(scalars),
        values_(at::zeros({scalars, steps}, at::TensorOptions().dtype(at::kDouble).device(device))),
        finite_(finite) {}

  std::vector<double> sums;  // of the steps looked at

  void put(int64_t scalar, const at::Tensor& value) { values_[scalar][steps_].copy_(value); }
  void end_step() { steps_++; }
  /** Reads the steps since the last look; the first whose `finite` scalar is not, else -1. */
  int64_t look() {
    const auto fresh = values_.slice(1, seen_, steps_).to(at::kCPU).contiguous();
    const double* numbers = fresh.data_ptr<double>();
    const int64_t count = fresh.size(1);
    for (int64_t s = 0; s < count; s++) {
      for (size_t i = 0; i < sums.size(); i++) sums[i] += numbers[i * count + s];
      if (finite_ >= 0 && !std::isfinite(numbers[finite_ * count + s])) return seen_ + s;
    }
    seen_ = steps_;
    return -1;
  }
  std::vector<std::vector<double>> numbers() const {
    const auto all = values_.slice(1, 0, steps_).to(at::kCPU).contiguous();
    std::vector<std::vector<double>> out;
    for (size_t i = 0; i < sums.size(); i++) {
      const double* row = all.data_ptr<double>() + i * steps_;
      out.emplace_back(row, row + steps_);
    }
    return out;
  }

 private:
  at::Tensor values_;  // [scalar, step]
  const int finite_;
  int64_t steps_ = 0, seen_ = 0;
};

at::Tensor index_tensor(const std::vector<int32_t>& order, at::Device device) {
  auto index = at::empty({static_cast<int64_t>(order.size())}, at::kLong);
  std::copy(order.begin(), order.end(), index.data_ptr<int64_t>());
  return index.to(device);
}

/** Labels [N] as targets [N, classes]: an image's share for its label, the rest for that of its partner. */
at::Tensor targets_of(const at::Tensor& labels, int64_t classes, const std::vector<MixDraw>& mixed) {
  const auto options = labels.options().dtype(at::kFloat);
  auto targets = at::zeros({labels.size(0), classes}, options);
  const auto column = labels.unsqueeze(1);
  if (mixed.empty()) return targets.scatter_(1, column, 1.0);
  auto own = at::empty({labels.size(0), 1}, at::kFloat);
  for (size_t i = 0; i < mixed.size(); i++) own.data_ptr<float>()[i] = mixed[i].own;
  own = own.to(labels.device());
  return targets.scatter_add_(1, column, own).scatter_add_(1, column.roll(-1, 0), 1 - own);
}

/** The size of the images a loop mixes: all of them are cut alike. */
std::pair<int, int> mixed_size(const Bindings& bind) {
  std::pair<int, int> size{0, 0};
  for (const auto& [name, b] : bind) {
    if (!b.images) continue;
    const std::pair<int, int> own{b.images->height(), b.images->width()};
    if (size.first != 0 && size != own)
      throw Failure("USAGE", "loop: expected images of one size to mix, got another size for input '" + name + "'");
    size = own;
  }
  if (size.first == 0) throw Failure("USAGE", "loop: expected an input of images to mix, got none");
  return size;
}

/** Labels out of range would be found by a card only after it has written beside the targets. */
void check_labels(const Bindings& bind) {
  for (const auto& [name, b] : bind) {
    if (b.classes == 0) continue;
    const auto& labels = b.rows->values;
    const auto least = labels.min().item<int64_t>(), most = labels.max().item<int64_t>();
    if (least < 0 || most >= b.classes)
      throw Failure("USAGE", "loop: input '" + name + "' takes labels from 0 to " + std::to_string(b.classes - 1) +
                                 ", its store has " + std::to_string(least < 0 ? least : most));
  }
}

}  // namespace

/** May be written into `into`, if that is defined. */
at::Tensor ProgramCore::batch_of(const Binding& b, const LoopBatch& of, uint64_t step,
                                 [[maybe_unused]] const at::Tensor& into) {
  const auto& index = of.index;
  if (b.rows) {
    const auto rows = b.rows->gather(b.offset ? index + b.offset : index);
    return b.classes > 0 ? targets_of(rows, b.classes, of.mixed) : rows;
  }
  const auto& s = *b.images;
  const int64_t count = index.numel();
  auto recipe = b.recipe;
  if (b.each_step) recipe.epoch = step;
#ifdef MNV2_CUDA
  if (b.on_device && count <= DeviceImages::kMost) {
    return b.on_device->batch(s, of.order, index, recipe, of.mixed, graph.bf16 ? at::kBFloat16 : at::kFloat, into);
  }
#endif
  auto options = at::TensorOptions().dtype(at::kFloat).pinned_memory(weights->device.is_cuda());
  auto batch = at::empty({count, s.height(), s.width(), s.channels()}, options);  // [N, H, W, C]
  load_batch(s, recipe, of.order, count, of.mixed, batch.data_ptr<float>(), parallel());
  return batch.permute({0, 3, 1, 2}).to(weights->device, /*non_blocking=*/true);  // [N, C, H, W], channels_last
}

/** Step `step` of the loop, on its part of the order; on CUDA through a graph where steps repeat. */
std::vector<at::Tensor> ProgramCore::loop_step(Plan& plan, const LoopSpec& spec, const Bindings& bind,
                                               const at::Tensor& index, int64_t step, const RunContext& context) {
  std::optional<Order> order;
  if (!spec.lr.empty()) {
    const bool apply = spec.updates.empty() || spec.updates[step] != 0;
    order = Order{spec.lr[step], index.numel(), apply, spec.finite >= 0};
  }
  LoopBatch batch{spec.order.data() + step * spec.batch_size, index, {}};
  if (spec.mix.on()) {
    const auto [height, width] = mixed_size(bind);
    batch.mixed = draw_mix(spec.mix, index.numel(), height, width, spec.seed, context.step);
  }
  seed_device(plan, context);
#ifdef MNV2_CUDA
  const int64_t count = index.numel();
  if (weights->device.is_cuda() && graph.cuda_graph && count == spec.batch_size) {
    std::vector<int64_t> shapes{count, order && order->apply};
    for (const auto& [name, b] : bind) {
      const auto row = b.classes > 0 ? std::vector<int64_t>{b.classes}
                       : b.rows ? b.rows->values.sizes().slice(1).vec()
                                : std::vector<int64_t>{b.images->channels(), b.images->height(), b.images->width()};
      shapes.insert(shapes.end(), row.begin(), row.end());
    }
    auto& kept = device_loop(plan, shapes);
    for (const auto& [name, binding] : bind) {
      auto& still = kept.feeds[name];
      const auto values = batch_of(binding, batch, context.step, still);
      if (!still.defined())
        still = values;
      else if (!values.is_same(still))
        still.copy_(values, /*non_blocking=*/true);
    }
    return graph_step(plan, kept, context, order);
  }
#endif
  Feeds feeds;
  for (const auto& [name, binding] : bind) feeds[name] = batch_of(binding, batch, context.step, {});
  return execute(plan, feeds, context, order);
}

LoopResult ProgramCore::loop(const LoopSpec& spec, const std::function<bool()>& stop, const Progress& progress) {
  const auto start = Clock::now();
  auto reported = start;
  const int64_t total = static_cast<int64_t>(spec.order.size()), steps = spec.steps();
  const bool train = !spec.lr.empty();
  check_labels(spec.bind);
  if (train && graph.loss < 0)
    throw Failure("USAGE", "loop: learning rates were given to a program compiled without `train`");
  if (!spec.updates.empty() && !graph.update.accumulate)
    throw Failure("USAGE", "loop: `updates` was given to a program compiled without `accumulate`");
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
  const auto order = index_tensor(spec.order, device);
  Record record(static_cast<int64_t>(spec.stack.size()), steps, spec.finite, device);
  for (int64_t s = 0; s < steps && result.diverged < 0; s++) {
    if (stop()) {
      result.stopped = true;
      break;
    }
    const int64_t first = s * spec.batch_size, count = std::min(spec.batch_size, total - first);
    const auto index = order.slice(0, first, first + count);
    RunContext context;
    context.bf16 = graph.bf16;
    context.seed = spec.seed;
    context.step = spec.first_step + s;
    const auto values = loop_step(plan, spec, bind, index, s, context);

    size_t at = 0;
    for (size_t i = 0; i < spec.stack.size(); i++) record.put(i, values[at++]);
    record.end_step();
    // A captured step overwrites its outputs: what is kept is copied.
    for (auto& rows : collected) rows.push_back(values[at++].to(at::kCPU, /*non_blocking=*/false, /*copy=*/true));
    for (const auto& into : spec.into) into.store->scatter(into.offset ? index + into.offset : index, values[at++]);
    result.steps++;
    result.examples += count;
    const bool report = progress && seconds_since(reported) * 1000 >= spec.progress_ms;
    // Reading is free on the CPU; on a device it waits, so only with a report, or now and then to notice divergence.
    if (device.is_cpu() || report || s % 64 == 63) result.diverged = record.look();
    if (report && result.diverged < 0) {
      reported = Clock::now();
      progress(result.steps, record.sums);
    }
  }
  if (result.diverged < 0) result.diverged = record.look();
  result.stack = record.numbers();
  for (auto& rows : collected) {
    if (!rows.empty()) result.rows.push_back(at::cat(rows, 0));
  }
  synchronize(device);  // what was written to stores is there
  result.seconds = seconds_since(start);
  result.cuda_graph = cuda_graph_;
  return result;
}

}  // namespace mnv2
