// Graph: the recorded nodes as the engine holds them, inputs before users. Owns no values but constants.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "graph/attrs.h"
#include "graph/ops.h"

namespace mnv2 {

struct Node {
  enum class Kind { input, parameter, constant, gradient, op };
  Kind kind = Kind::op;
  std::string op;    // name in the op table
  std::string name;  // of inputs and parameters
  OpFunction function = nullptr;
  std::vector<int> inputs;
  Attrs attrs;
  std::string path;            // module path, for messages
  std::vector<int64_t> shape;  // -1: known at run time
  at::ScalarType dtype = at::kFloat;
  at::Tensor constant;
};

struct OptimizerSpec {
  std::string kind;  // sgd, adam, adamw, rmsprop
  double momentum = 0, weight_decay = 0, beta1 = 0, beta2 = 0, eps = 0, alpha = 0;
  bool nesterov = false, eps_inside_sqrt = false;
};

/** What an update has to know of a parameter before its values are there. */
struct TrainedParameter {
  std::string name;
  std::vector<int64_t> shape;
  at::ScalarType dtype;
};

/** How gradients become an update of the parameters. */
struct UpdateSpec {
  OptimizerSpec optimizer;
  std::map<std::string, double> rates;  // factor of a parameter's learning rate; absent: 1
  std::set<std::string> undecayed;      // parameters without weight decay
  double clip = 0;                      // largest norm of the whole gradient; 0: any
  bool accumulate = false;              // the gradients of several batches may make one update
  double average = 0;                   // decay of the running averages of `averaged`; 0: none are kept
  std::vector<std::string> averaged;
};

struct Graph {
  std::vector<Node> nodes;
  std::map<std::string, int> names;  // what can be fetched
  std::vector<std::string> outputs;
  bool bf16 = false, fuse = true, cuda_graph = true;
  int loss = -1;  // node trained on, -1: not a training program
  std::vector<std::string> trained;
  UpdateSpec update;
};

}  // namespace mnv2
