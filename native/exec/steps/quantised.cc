// See quantised.h.
#include "exec/steps/quantised.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "autograd/fused.h"
#include "exec/steps/op.h"

namespace mnv2 {
namespace {

/** Of a fakeQuantize node. */
Scale scale_of(Frame& frame, int node) {
  const auto& in = frame.node(node).inputs;
  return {frame.stored(in[1]).item<float>(), static_cast<int32_t>(frame.stored(in[2]).item<double>())};
}

at::Tensor rounded(const at::Tensor& x, const Scale& scale) {
  const auto floats = x.to(at::kFloat).contiguous(x.suggest_memory_format());
  auto y = at::empty(floats.sizes(), floats.options().dtype(at::kByte), x.suggest_memory_format());
  quantise(floats.data_ptr<float>(), floats.numel(), scale, y.data_ptr<uint8_t>(), parallel());
  return y;
}

at::Tensor unrounded(const at::Tensor& x, const Scale& scale) {
  auto y = at::empty(x.sizes(), x.options().dtype(at::kFloat), x.suggest_memory_format());
  dequantise(x.data_ptr<uint8_t>(), x.numel(), scale, y.data_ptr<float>(), parallel());
  return y;
}

}  // namespace

std::vector<int> QuantisedStep::reads(const Graph& g) const {
  std::vector<int> in = values_;
  auto add = [&](int node) {
    for (int input : g.nodes[node].inputs) {
      if (std::find(nodes_.begin(), nodes_.end(), input) == nodes_.end()) in.push_back(input);
    }
  };
  for (int node : nodes_) add(node);
  // The scales of what it reads.
  for (int value : values_) in.insert(in.end(), g.nodes[value].inputs.begin() + 1, g.nodes[value].inputs.end());
  return in;
}

std::string QuantisedStep::describe(const Graph& g) const {
  std::string line;
  for (int node : nodes_) {
    const auto& op = g.nodes[node].op;
    const bool rounding = op == "fakeQuantize" || op == "dequantize";
    if (!rounding || nodes_.size() == 1) line += (line.empty() ? "" : "+") + op;
  }
  return "int8 " + line;
}

void QuantisedStep::refresh(Frame& frame) {
  if (!frame.stored.device().is_cpu() || version_ == frame.stored.version()) return;
  for (const auto& list : {nodes_, values_})
    for (int index : list)
      if (frame.node(index).op == "fakeQuantize") scales_[index] = scale_of(frame, index);
  try {
    prepare(frame);
    fits_ = true;
  } catch (const std::invalid_argument&) {
    fits_ = false;
  }
  version_ = frame.stored.version();
}

at::Tensor QuantisedStep::run(Frame& frame) {
  refresh(frame);
  const int first = values_.empty() ? frame.node(nodes_.front()).inputs[0] : values_.front();
  const auto& x = frame.value(first);
  if (!x.is_cpu() || x.numel() == 0 || !fits_) return run_nodes(frame);
  const auto y = compute(frame);
  return y.scalar_type() == at::kByte && !bytes_ ? unrounded(y, scale(node)) : y;
}

at::Tensor QuantisedStep::run_nodes(Frame& frame) {
  at::Tensor y;
  for (int index : nodes_) {
    for (int input : frame.node(index).inputs) {
      auto& value = frame.values[input];
      if (frame.value(input).scalar_type() == at::kByte && frame.node(input).op == "fakeQuantize")
        value = unrounded(value, scale(input));
    }
    y = frame.values[index] = run_op(frame, index);
  }
  for (int index : nodes_) frame.values[index].reset();
  return y;
}

QuantisedStep::Numbers QuantisedStep::numbers_of(Frame& frame, const QuantisedLayer& layer) const {
  const auto& op = frame.node(layer.op);
  const auto& weight = frame.node(layer.weight);
  Numbers n;
  n.weight = frame.stored(weight.inputs[0]).contiguous();
  const auto scales = frame.stored(weight.inputs[1]).to(at::kDouble).contiguous();
  const auto bias = op.inputs.size() > 2 ? frame.stored(op.inputs[2]).to(at::kDouble).contiguous() : at::Tensor();
  const double in = scale(layer.from).scale;
  const double out = layer.value < 0 ? 1 : scale(layer.value).scale;
  for (int64_t c = 0; c < n.weight.size(0); c++) {
    const double step = in * scales.data_ptr<double>()[scales.numel() > 1 ? c : 0];
    const double whole = bias.defined() ? std::nearbyint(bias.data_ptr<double>()[c] / step) : 0;
    if (!(std::abs(whole) < 2147483648.0)) throw std::invalid_argument("a bias is too large for its scale");
    n.bias.push_back(static_cast<int32_t>(whole));
    n.multiplier.push_back(static_cast<float>(step / out));
  }
  return n;
}

QuantisedConv QuantisedStep::conv_of(const Frame& frame, const QuantisedLayer& layer, const Numbers& n) const {
  const auto& op = frame.node(layer.op);
  QuantisedConv c{n.weight.data_ptr<int8_t>(), n.bias.data(), n.multiplier.data(), n.weight.size(1), n.weight.size(0)};
  c.zero = scale(layer.from).zero;
  if (op.op == "linear") return c;
  if (op.op == "depthwiseConv2d") c.in = c.out;
  const auto pads = op.attrs.integers("padding");
  c.size = n.weight.size(2);
  c.stride = op.attrs.integers("stride")[0];
  c.top = pads[0], c.bottom = pads[1], c.left = pads[2], c.right = pads[3];
  const Scale& value = scale(layer.value);
  const auto clamp = clamp_of(frame.graph, layer.act);
  // Rounding keeps order: the bounds' own steps bound the steps.
  auto step = [&](double bound) {
    const double q = std::nearbyint(static_cast<float>(bound) / value.scale) + value.zero;
    return static_cast<int32_t>(std::clamp(q, 0.0, 255.0));
  };
  c.out_zero = value.zero, c.lo = step(clamp.min), c.hi = step(clamp.max);
  return c;
}

at::Tensor QuantisedStep::bytes(Frame& frame, int value) const {
  auto x = frame.value(value);
  if (x.dim() == 4)
    x = x.contiguous(at::MemoryFormat::ChannelsLast);
  else
    x = x.contiguous();
  return x.scalar_type() == at::kByte ? x : rounded(x, scale(value));
}

at::Tensor RoundingStep::compute(Frame& frame) {
  auto x = frame.value(frame.node(node).inputs[0]);
  if (x.dim() == 4) x = x.contiguous(at::MemoryFormat::ChannelsLast);
  return rounded(x, scale(node));
}

void QuantisedBlockStep::take_floats() {
  floats_ = true;
  nodes_.insert(nodes_.begin(), first().from);
  values_.erase(values_.begin());
}

void QuantisedBlockStep::prepare(Frame& frame) {
  std::vector<Numbers> numbers;  // what `convs` points into
  std::vector<QuantisedConv> convs;
  for (const auto& layer : layers_) numbers.push_back(numbers_of(frame, layer));
  for (size_t i = 0; i < layers_.size(); i++) convs.push_back(conv_of(frame, layers_[i], numbers[i]));
  const size_t n = convs.size();
  block_ = std::make_unique<const QuantisedBlock>(n > 2 ? &convs[0] : nullptr, n > 1 ? &convs[n - 2] : nullptr,
                                                  convs[n - 1]);
  if (residual_ < 0) return;
  const Scale &own = scale(layers_.back().value), &other = scale(residual_), &sum = scale(node);
  add_ = {own.scale / sum.scale, other.scale / sum.scale, other.zero, sum.zero};
}

at::Tensor QuantisedBlockStep::compute(Frame& frame) {
  const auto& block = *block_;
  at::Tensor x = floats_ ? frame.value(frame.node(first().from).inputs[0]).to(at::kFloat) : bytes(frame, first().from);
  const bool planar = floats_ && x.is_contiguous();
  if (!planar) x = x.contiguous(at::MemoryFormat::ChannelsLast);
  const QuantisedBlock::Size size{x.size(2), x.size(3)}, out = block.out(size);
  TORCH_CHECK(out.H > 0 && out.W > 0, "convolution: an image of ", size.H, " x ", size.W,
              " is smaller than the kernel");
  const auto residual = residual_ >= 0 ? bytes(frame, residual_) : at::Tensor();
  const auto* r = residual.defined() ? residual.data_ptr<uint8_t>() : nullptr;
  auto y = at::empty({x.size(0), frame.node(node).shape[1], out.H, out.W}, x.options().dtype(at::kByte),
                     at::MemoryFormat::ChannelsLast);
  if (floats_)
    block.run(x.data_ptr<float>(), planar, scale(first().from).scale, r, &add_, x.size(0), size, y.data_ptr<uint8_t>(),
              at::get_num_threads(), parallel());
  else
    block.run(x.data_ptr<uint8_t>(), r, &add_, x.size(0), size, y.data_ptr<uint8_t>(), at::get_num_threads(),
              parallel());
  return y;
}

at::Tensor QuantisedMeanStep::compute(Frame& frame) {
  const int from = values_.front();
  const auto x = bytes(frame, from);
  const Scale &in = scale(from), &out = scale(node);
  const int64_t pixels = x.size(2) * x.size(3);
  auto y = at::empty({x.size(0), x.size(1)}, x.options());
  quantised_mean(x.data_ptr<uint8_t>(), x.size(0), pixels, x.size(1), in.zero,
                 static_cast<float>(in.scale / (static_cast<double>(out.scale) * pixels)), out.zero,
                 y.data_ptr<uint8_t>(), parallel());
  return y;
}

void QuantisedLinearStep::prepare(Frame& frame) {
  const auto numbers = numbers_of(frame, layer_);
  linear_ = std::make_unique<const QuantisedLinear>(conv_of(frame, layer_, numbers));
}

at::Tensor QuantisedLinearStep::compute(Frame& frame) {
  const auto x = bytes(frame, layer_.from);
  auto y = at::empty({x.size(0), frame.node(node).shape[1]}, x.options().dtype(at::kFloat));
  linear_->run(x.data_ptr<uint8_t>(), x.size(0), y.data_ptr<float>(), parallel());
  return y;
}

}  // namespace mnv2
