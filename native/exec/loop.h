// What a loop is told and what it tells: many steps as one job, fed from stores.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/batch.h"
#include "state/rows.h"

namespace mnv2 {

class DeviceImages;

/** How an input is filled. */
struct Binding {
  std::shared_ptr<ImageStore> images;  // or
  std::shared_ptr<RowStore> rows;
  ImageRecipe recipe;
  int64_t offset = 0;                       // of rows
  std::shared_ptr<DeviceImages> on_device;  // CUDA: of `images`, held while a loop runs
};

using Bindings = std::map<std::string, Binding>;

struct LoopSpec {
  std::vector<int32_t> order;
  int64_t batch_size = 1;
  Bindings bind;
  std::vector<double> lr;  // of each step; empty: no update
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

  int64_t steps() const { return (static_cast<int64_t>(order.size()) + batch_size - 1) / batch_size; }
};

struct LoopResult {
  int64_t steps = 0, examples = 0, diverged = -1;
  bool stopped = false;
  std::vector<std::vector<double>> stack;
  std::vector<at::Tensor> rows;
  double seconds = 0;
  std::string cuda_graph;  // "captured", why not, or "" where graphs were not asked for
};

using Progress = std::function<void(int64_t step, const std::vector<double>& sums)>;

}  // namespace mnv2
