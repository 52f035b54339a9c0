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
  bool each_step = false;  // the recipe's epoch is the number of the step
  int64_t classes = 0;     // above 0: rows are labels, and the input is [N, classes], mixed as the images are
  int64_t offset = 0;      // of rows
  std::shared_ptr<DeviceImages> on_device;  // CUDA: of `images`, held while a loop runs
};

using Bindings = std::map<std::string, Binding>;

struct LoopSpec {
  std::vector<int32_t> order;
  int64_t batch_size = 1;
  Bindings bind;
  std::vector<double> lr;        // of each step; empty: no update
  std::vector<uint8_t> updates;  // of each step, 0: gradients are gathered for a later one; empty: all update
  uint64_t first_step = 0, seed = 0;
  Mix mix;  // of all bound images and targets, drawn of (seed, step)
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

/** What a step works on. */
struct LoopBatch {
  const int32_t* order;        // on the host
  at::Tensor index;            // the same numbers on the program's device
  std::vector<MixDraw> mixed;  // none: nothing is mixed
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
