// The op table's face: a name finds the function that executes it. No N-API here.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "graph/attrs.h"

namespace mnv2 {

/** What an op may depend on besides its inputs. */
struct RunContext {
  bool bf16 = false;  // convolutions run in bfloat16
  uint64_t seed = 0;  // of the run
  uint64_t step = 0;  // steps taken before this one
  uint64_t node = 0;  // the op's position in the graph
};

using OpFunction = at::Tensor (*)(const std::vector<at::Tensor>& in, const Attrs&, const RunContext&);

/** nullptr when there is no such op. */
OpFunction find_op(const std::string& name);
std::vector<std::string> op_names();

/** Convolution of either kind with explicit pads [top, bottom, left, right]; `groups` from the weight for depthwise. */
at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Attrs&,
                       int64_t groups);

}  // namespace mnv2
