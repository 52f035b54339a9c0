// THE op table: name -> what libtorch (or a kernel of ours) does. Shape rules live in lib/graph/ops/.
#include "graph/ops.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/version.h>

#include <map>
#include <utility>

#include "autograd/fake_quantize.h"
#include "autograd/fused.h"
#include "data/random.h"
#include "graph/dtype.h"
#include "graph/padding.h"

namespace mnv2 {
namespace {

using Inputs = std::vector<at::Tensor>;

at::Tensor optional_input(const Inputs& in, size_t i) { return i < in.size() ? in[i] : at::Tensor(); }

at::Tensor in_bf16(const at::Tensor& x, const RunContext& context) {
  return context.bf16 && x.defined() && x.scalar_type() == at::kFloat ? x.to(at::kBFloat16) : x;
}

/**
 * Activations of one tensor. libtorch 1.13 lacks some of them, or their backward, for bfloat16 on the CPU; in float32,
 * rounded once, the numbers are the same.
 */
template <class Function>
at::Tensor activation(const at::Tensor& x, Function function) {
#if TORCH_VERSION_MAJOR < 2
  if (x.is_cpu() && x.scalar_type() == at::kBFloat16) return function(x.to(at::kFloat)).to(at::kBFloat16);
#endif
  return function(x);
}

at::Tensor hardtanh(const at::Tensor& x, double min, double max) {
  return activation(x, [&](const at::Tensor& t) { return at::hardtanh(t, min, max); });
}

at::Tensor conv2d(const Inputs& in, const Attrs& a, const RunContext& c) {
  return convolution(in_bf16(in[0], c), in_bf16(in[1], c), in_bf16(optional_input(in, 2), c), a, a.integer("groups"));
}

/** libtorch's own depthwise kernels, which its convolution takes for NCHW tensors only. */
at::Tensor native_depthwise(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Attrs& a) {
  const auto p = a.integers("padding");
  auto input = x.contiguous();
  std::vector<int64_t> pads = {p[0], p[2]};
  if (p[0] != p[1] || p[2] != p[3]) {
    input = at::constant_pad_nd(input, {p[2], p[3], p[0], p[1]}, 0);
    pads = {0, 0};
  }
  return at::_conv_depthwise2d(input, weight.contiguous(), weight.sizes().slice(2), bias, a.integers("stride"), pads,
                               a.integers("dilation"));
}

at::Tensor depthwise(const Inputs& in, const Attrs& a, const RunContext& c) {
  const auto x = in_bf16(in[0], c), bias = in_bf16(optional_input(in, 2), c);
  auto weight = in_bf16(in[1], c);
  const auto stride = a.integers("stride"), pads = a.integers("padding");
  if (x.is_cuda()) {
    // auto: cuDNN on channels_last, until a measured table says otherwise (bench/GPU.md).
    const auto& route = a.text("route");
    if (route == "native") return native_depthwise(x, weight, bias, a);
    if (route != "fused") return convolution(x, weight, bias, a, x.size(1));
    weight = in[1];  // the kernel keeps filters in float32
  } else if (a.text("route") == "native") {
    return convolution(x, weight, bias, a, x.size(1));
  }
  if (!depthwise_takes(x, weight, stride, pads, a.integers("dilation")))
    return convolution(x, in_bf16(weight, c), bias, a, x.size(1));
  const auto y = depthwise_conv(x, weight, stride[0], pads);
  return bias.defined() ? y + bias.reshape({1, -1, 1, 1}) : y;
}

at::Tensor batch_norm(const Inputs& in, const Attrs& a, const RunContext&) {
  return at::batch_norm(in[0], in[1], in[2], in[3], in[4], a.flag("training"), a.number("momentum"), a.number("eps"),
                        /*cudnn_enabled=*/true);
}

at::Tensor global_average_pool(const Inputs& in, const Attrs&, const RunContext& c) {
  auto mean = at::mean(in[0], {2, 3});
  return c.bf16 && mean.scalar_type() == at::kBFloat16 ? mean.to(at::kFloat) : mean;
}

/** Masks come from a generator of this op alone, so that no other random op shifts them. */
at::Tensor dropout(const Inputs& in, const Attrs& a, const RunContext& c) {
  const double keep = 1 - a.number("p");
  if (keep == 1) return in[0];
  at::Tensor mask;
  if (in[0].is_cuda()) {  // the default generator, seeded from (seed, step) before each step: graphs can capture it
    mask = at::empty_like(in[0]).bernoulli_(keep);
  } else {
    auto generator = at::detail::createCPUGenerator(op_seed(c.seed, c.step, c.node));
    mask = at::empty_like(in[0]).bernoulli_(keep, generator);
  }
  return in[0] * mask.div_(keep);
}

/** One type for both: in a bf16 program one value may come from a convolution, the other from a parameter. */
std::pair<at::Tensor, at::Tensor> promoted(const at::Tensor& a, const at::Tensor& b) {
  const auto type = at::promote_types(a.scalar_type(), b.scalar_type());
  return {a.to(type), b.to(type)};
}

at::Tensor matmul(const at::Tensor& a, const at::Tensor& b) {
  const auto [left, right] = promoted(a, b);
  return at::matmul(left, right);
}

/** Statistics and parameters are float32 at least, the output has the input's type: as batchNorm2d in bf16. */
at::Tensor layer_norm(const Inputs& in, const Attrs& a, const RunContext&) {
  const auto& x = in[0];
  const auto wide = [](const at::Tensor& t) {
    return t.defined() && t.scalar_type() == at::kBFloat16 ? t.to(at::kFloat) : t;
  };
  const auto y = at::layer_norm(wide(x), a.integers("shape"), wide(optional_input(in, 1)), wide(optional_input(in, 2)),
                                a.number("eps"));
  return y.to(x.scalar_type());
}

/** Losses are taken in float32 at least. */
at::Tensor in_float(const at::Tensor& x, const RunContext& c) {
  return c.bf16 && x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x;
}

int64_t loss_reduction(const Attrs& a) {
  const auto& mode = a.text("reduction");
  return mode == "mean" ? at::Reduction::Mean : mode == "sum" ? at::Reduction::Sum : at::Reduction::None;
}

/** Targets are class indices or, in the logits' type, probabilities: libtorch tells them apart by their shape. */
at::Tensor cross_entropy(const Inputs& in, const Attrs& a, const RunContext& c) {
  return at::cross_entropy_loss(in_float(in[0], c), in_float(in[1], c), optional_input(in, 2), loss_reduction(a),
                                /*ignore_index=*/-100, a.number("labelSmoothing"));
}

at::Tensor binary_cross_entropy(const Inputs& in, const Attrs& a, const RunContext& c) {
  const bool weighted = a.flag("weighted");
  const auto weight = weighted ? in[2] : at::Tensor(), pos_weight = optional_input(in, weighted ? 3 : 2);
  return at::binary_cross_entropy_with_logits(in_float(in[0], c), in_float(in[1], c), weight, pos_weight,
                                              loss_reduction(a));
}

at::Tensor mean_squared_error(const Inputs& in, const Attrs& a, const RunContext& c) {
  return at::mse_loss(in_float(in[0], c), in_float(in[1], c), loss_reduction(a));
}

at::Tensor fully_connected(const Inputs& in, const Attrs& a, const RunContext& c) {
  // The head is tiny next to the convolutions: float32 costs nothing and keeps logits exact in bf16 programs.
  auto x = c.bf16 && in[0].scalar_type() == at::kBFloat16 && in[1].scalar_type() == at::kFloat ? in[0].to(at::kFloat)
                                                                                               : in[0];
  const auto bias = optional_input(in, 2);
  // The last bits of a product hang on how many rows it has. Of a fixed number, each row's are those it has alone.
  const int64_t rows = x.size(0), lacking = a.integer_or("fixedRows", 0) - rows;
  if (x.dim() != 2 || lacking <= 0) return at::linear(x, in[1], bias);
  return at::linear(at::cat({x, at::zeros({lacking, x.size(1)}, x.options())}), in[1], bias).narrow(0, 0, rows);
}

/** libtorch reads an empty list of dimensions as all of them; the graph means none. */
template <at::Tensor (*reduce)(const at::Tensor&, at::IntArrayRef, bool)>
at::Tensor reduction(const Inputs& in, const Attrs& a, const RunContext&) {
  const auto dims = a.integers("dims");
  return dims.empty() && in[0].dim() > 0 ? in[0].clone() : reduce(in[0], dims, a.flag("keepDims"));
}

at::Tensor mean(const at::Tensor& x, at::IntArrayRef dims, bool keep) { return at::mean(x, dims, keep); }
at::Tensor sum(const at::Tensor& x, at::IntArrayRef dims, bool keep) { return at::sum(x, dims, keep); }

at::Tensor slice(const Inputs& in, const Attrs& a, const RunContext&) {
  return in[0].slice(a.integer("dim"), a.integer("start"), a.integer("end"), a.integer("step"));
}

at::Tensor pad2d(const Inputs& in, const Attrs& a, const RunContext&) {
  const auto p = a.integers("pads");
  return at::constant_pad_nd(in[0], {p[2], p[3], p[0], p[1]}, a.number("value"));
}

at::Tensor argmax(const Inputs& in, const Attrs& a, const RunContext&) { return in[0].argmax(a.integer("dim")); }

at::Tensor avg_pool(const Inputs& in, const Attrs& a, const RunContext&) {
  return at::avg_pool2d(in[0], a.integers("kernel"), a.integers("stride"), a.integers("padding"));
}

at::Tensor cast(const Inputs& in, const Attrs& a, const RunContext&) { return in[0].to(dtype_from(a.text("dtype"))); }

at::Tensor clamp(const Inputs& in, const Attrs& a, const RunContext&) {
  return hardtanh(in[0], a.number("min"), a.number("max"));
}

at::Tensor concat(const Inputs& in, const Attrs& a, const RunContext&) { return at::cat(in, a.integer("dim")); }

at::Tensor dequantized(const Inputs& in, const Attrs& a, const RunContext&) {
  return dequantize(in[0], in[1], a.integer_or("axis", -1));
}

at::Tensor fake_quantized(const Inputs& in, const Attrs& a, const RunContext& c) {
  return fake_quantize(in_float(in[0], c), in[1], in[2],
                       {a.number("qmin"), a.number("qmax"), a.integer_or("axis", -1)});
}

at::Tensor log_softmax(const Inputs& in, const Attrs& a, const RunContext&) {
  return at::log_softmax(in[0], a.integer("dim"));
}

at::Tensor max_pool(const Inputs& in, const Attrs& a, const RunContext&) {
  return at::max_pool2d(in[0], a.integers("kernel"), a.integers("stride"), a.integers("padding"));
}

at::Tensor permute(const Inputs& in, const Attrs& a, const RunContext&) { return in[0].permute(a.integers("dims")); }

at::Tensor relu6(const Inputs& in, const Attrs&, const RunContext&) { return hardtanh(in[0], 0, 6); }

at::Tensor reshape(const Inputs& in, const Attrs& a, const RunContext&) { return in[0].reshape(a.integers("shape")); }

at::Tensor softmax(const Inputs& in, const Attrs& a, const RunContext&) { return at::softmax(in[0], a.integer("dim")); }

at::Tensor sum_of(const at::Tensor& a, const at::Tensor& b) { return a + b; }
at::Tensor difference_of(const at::Tensor& a, const at::Tensor& b) { return a - b; }

/** Rows for functions of one tensor, or two, that no attribute changes. */
template <at::Tensor (*function)(const at::Tensor&)>
at::Tensor unary(const Inputs& in, const Attrs&, const RunContext&) {
  return activation(in[0], function);
}
template <at::Tensor (*function)(const at::Tensor&, const at::Tensor&)>
at::Tensor binary(const Inputs& in, const Attrs&, const RunContext&) {
  return function(in[0], in[1]);
}

const std::map<std::string, OpFunction>& table() {
  static const std::map<std::string, OpFunction> ops = {
      {"add", binary<sum_of>},
      {"argmax", argmax},
      {"avgPool2d", avg_pool},
      {"batchNorm2d", batch_norm},
      {"binaryCrossEntropyWithLogits", binary_cross_entropy},
      {"cast", cast},
      {"concat", concat},
      {"conv2d", conv2d},
      {"crossEntropy", cross_entropy},
      {"depthwiseConv2d", depthwise},
      {"dequantize", dequantized},
      {"div", binary<at::div>},
      {"dropout", dropout},
      {"equal", binary<at::eq>},
      {"exp", unary<at::exp>},
      {"fakeQuantize", fake_quantized},
      {"globalAveragePool", global_average_pool},
      {"hardsigmoid", unary<at::hardsigmoid>},
      {"hardswish", unary<at::hardswish>},
      {"hardtanh", clamp},
      {"layerNorm", layer_norm},
      {"linear", fully_connected},
      {"log", unary<at::log>},
      {"logSoftmax", log_softmax},
      {"matmul", binary<matmul>},
      {"max", reduction<at::amax>},
      {"maxPool2d", max_pool},
      {"mean", reduction<mean>},
      {"meanSquaredError", mean_squared_error},
      {"min", reduction<at::amin>},
      {"mul", binary<at::mul>},
      {"pad2d", pad2d},
      {"permute", permute},
      {"relu", unary<at::relu>},
      {"relu6", relu6},
      {"reshape", reshape},
      {"sigmoid", unary<at::sigmoid>},
      {"silu", unary<at::silu>},
      {"slice", slice},
      {"softmax", softmax},
      {"sub", binary<difference_of>},
      {"sum", reduction<sum>},
  };
  return ops;
}

}  // namespace

OpFunction find_op(const std::string& name) {
  auto found = table().find(name);
  return found == table().end() ? nullptr : found->second;
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const auto& [name, function] : table()) names.push_back(name);
  return names;
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Attrs& a,
                       int64_t groups) {
  const auto p = a.integers("padding");
  const auto stride = a.integers("stride");
  const auto dilation = a.integers("dilation");
  auto input = x, kernel = weight;
  std::vector<int64_t> pads = {p[0], p[2]};
  if (p[0] != p[1] || p[2] != p[3]) {
    if (groups > 1 && shifts_into_filter(p, dilation)) {
      kernel = shifted_filter(weight);
      pads = {p[1], p[3]};
    } else {
      input = at::constant_pad_nd(x, {p[2], p[3], p[0], p[1]}, 0);
      pads = {0, 0};
    }
  }
  return at::conv2d(input, kernel, bias, stride, pads, dilation, groups);
}

}  // namespace mnv2
