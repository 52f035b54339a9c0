// Folding, packing and running fused convolutions. See infer.h.
#include "exec/infer.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/Parallel.h>
#include <ATen/core/stack.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>

#include "autograd/fused.h"
#include "kernels/separable.h"

#ifdef MNV2_CUDA
#include "autograd/launch_cuda.h"
#endif

namespace mnv2 {

struct PackedConv {
  std::mutex mutex;  // streams of one batch share the step
  uint64_t version = 0;
  at::Tensor weight, bias;  // folded, in the compute type; on CUDA the bias in the weights' own
  std::vector<int64_t> pads;
  // oneDNN picks a weight layout per input shape; a loop sees two: the full and the last batch.
  std::vector<std::pair<std::vector<int64_t>, at::Tensor>> packed;
};

struct PackedBlock {
  std::mutex mutex;
  uint64_t version = 0;
  std::shared_ptr<const SeparableBlock> weights;
};

namespace {

using Schema = c10::optional<c10::OperatorHandle>;

const Schema& schema(int which) {
  auto find = [](const char* name, const char* overload) {
    return c10::Dispatcher::singleton().findSchema({name, overload});
  };
  static const Schema all[] = {find("mkldnn::_convolution_pointwise", ""),
                               find("mkldnn::_convolution_pointwise", "binary"),
                               find("mkldnn::_reorder_convolution_weight", "")};
  return all[which];
}

at::Tensor call(const Schema& op, torch::jit::Stack stack) {
  op->callBoxed(&stack);
  return stack.at(0).toTensor();
}

struct Folded {
  at::Tensor weight, bias;  // bias: undefined without one
};

/** w * gamma / sqrt(var + eps), beta - mean * gamma / sqrt(var + eps): folded in double, rounded once. */
Folded fold(const Graph& g, const Step& step, const std::function<const at::Tensor&(int)>& value) {
  const auto& conv = g.nodes[step.conv];
  auto weight = value(conv.inputs[1]);
  at::Tensor bias = conv.inputs.size() > 2 ? value(conv.inputs[2]) : at::Tensor();
  if (step.norm >= 0) {
    const auto& norm = g.nodes[step.norm];
    auto get = [&](int i) { return value(norm.inputs[i]).to(at::kDouble); };
    const auto scale = get(1) / (get(4) + norm.attrs.number("eps")).sqrt();
    auto shift = get(2) - get(3) * scale;
    if (bias.defined()) shift = shift + bias.to(at::kDouble) * scale;
    bias = shift.to(weight.scalar_type());
    weight = (weight.to(at::kDouble) * scale.reshape({-1, 1, 1, 1})).to(weight.scalar_type());
  }
  return {weight.contiguous(), bias};
}

/** Where our CUDA depthwise kernel runs a step: 3x3, one filter a channel, float32 weights, no route of libtorch's
 * asked for. */
bool cuda_kernel_takes(const Graph& g, const Step& step) {
  const auto& conv = g.nodes[step.conv];
  if (conv.op != "depthwiseConv2d" || g.nodes[conv.inputs[1]].dtype != at::kFloat ||
      conv.attrs.text("route") == "cudnn" || conv.attrs.text("route") == "native")
    return false;
  const auto &w = g.nodes[conv.inputs[1]].shape, &x = g.nodes[conv.inputs[0]].shape;
  const auto pads = conv.attrs.integers("padding"), stride = conv.attrs.integers("stride"),
             dilation = conv.attrs.integers("dilation");
  const bool small = std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p <= 2; });
  return w[0] == x[1] && w[2] == 3 && w[3] == 3 && small && stride[0] == stride[1] && stride[0] <= 2 &&
         dilation[0] == 1 && dilation[1] == 1;
}

void pack(const Graph& g, const Step& step, const std::function<const at::Tensor&(int)>& value, bool bf16,
          PackedConv& out) {
  auto [weight, bias] = fold(g, step, value);
  const auto type = bf16 && weight.scalar_type() == at::kFloat ? at::kBFloat16 : weight.scalar_type();
  const auto p = g.nodes[step.conv].attrs.integers("padding");
  out.pads = {p[0], p[2]};
  if (weight.is_cuda()) {
    // Kept where they are: captured graphs read them. Our kernel takes its filters in float32 and pads of any kind.
    auto keep = [](at::Tensor& at, const at::Tensor& fresh) { at.defined() ? at.copy_(fresh) : at = fresh; };
    const bool kernel = cuda_kernel_takes(g, step);
    if (kernel) out.pads = p;
    keep(out.weight, kernel ? weight : weight.to(type).contiguous(at::MemoryFormat::ChannelsLast));
    if (bias.defined()) keep(out.bias, bias);
    return;
  }
  if (p[1] == p[0] + 1 && p[3] == p[2] + 1) {
    // As in ops.cc: a leading row and column of zeros instead of an asymmetrically padded copy of the input.
    weight = at::constant_pad_nd(weight, {1, 0, 1, 0}, 0);
    out.pads = {p[1], p[3]};
  }
  out.weight = weight.to(type).contiguous();
  out.bias = bias.defined() ? bias.to(type) : bias;
  out.packed.clear();
}

bool one_dnn_takes(const at::Tensor& x, const Clamp& clamp) {
  const bool type = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  const bool bounded = std::isfinite(clamp.min) && std::isfinite(clamp.max);
  const bool relu = clamp.min == 0 && !std::isfinite(clamp.max);
  const bool free = !std::isfinite(clamp.min) && !std::isfinite(clamp.max);
  return x.device().is_cpu() && type && (bounded || relu || free) && fused_convolution_available();
}

}  // namespace

void prepare(Step& step) {
  if (step.kind == Step::Kind::fused_conv) step.packed = std::make_shared<PackedConv>();
  if (step.kind == Step::Kind::separable) step.block = std::make_shared<PackedBlock>();
  for (auto& part : step.parts) prepare(part);
}

#ifdef MNV2_CUDA
namespace {

c10::optional<Act> act_of(const Clamp& clamp) {
  if (!std::isfinite(clamp.min) && !std::isfinite(clamp.max)) return Act::none;
  if (clamp.min != 0 || (std::isfinite(clamp.max) && clamp.max != 6)) return c10::nullopt;
  return std::isfinite(clamp.max) ? Act::relu6 : Act::relu;
}

/**
 * Convolutions in a row, each the other's only reader. cuDNN's leave bias and activation to what follows: a depthwise
 * kernel applies them while loading and its own while storing, otherwise one pass does, residual included.
 */
at::Tensor run_on_cuda(const Graph& g, const std::vector<Step*>& steps,
                       const std::function<const at::Tensor&(int)>& value, uint64_t version, bool bf16) {
  auto x = value(g.nodes[steps.front()->conv].inputs[0]);
  BiasAct left;  // what x still lacks
  for (size_t i = 0; i < steps.size(); i++) {
    auto& step = *steps[i];
    const auto& conv = g.nodes[step.conv];
    auto& p = *step.packed;
    if (p.version != version) {
      pack(g, step, value, bf16, p);
      p.version = version;
    }
    const auto type = bf16 && p.weight.scalar_type() == at::kFloat ? at::kBFloat16 : p.weight.scalar_type();
    x = x.to(type).contiguous(at::MemoryFormat::ChannelsLast);
    const auto stride = conv.attrs.integers("stride"), dilation = conv.attrs.integers("dilation"),
               ends = conv.attrs.integers("padding");
    const auto clamp = clamp_of(g, step.act);
    const auto act = act_of(clamp);
    const auto residual =
        step.residual >= 0 ? value(step.residual).to(type).contiguous(at::MemoryFormat::ChannelsLast) : at::Tensor();
    if (p.pads.size() == 4) {  // our kernel's
      x = cuda_depthwise_folded(x, left, p.weight, stride[0], p.pads, act ? BiasAct{p.bias, *act} : BiasAct{p.bias});
      left = {};
      if (!act) x.clamp_(clamp.min, clamp.max);
      if (residual.defined()) x.add_(residual);
      continue;
    }
    if (ends[0] != ends[1] || ends[2] != ends[3]) x = at::constant_pad_nd(x, {ends[2], ends[3], ends[0], ends[1]}, 0);
    const auto pads = ends[0] != ends[1] || ends[2] != ends[3] ? std::vector<int64_t>{0, 0} : p.pads;
    x = at::conv2d(x, p.weight, {}, stride, pads, dilation,
                   conv.op == "conv2d" ? conv.attrs.integer("groups") : x.size(1));
    x = x.contiguous(at::MemoryFormat::ChannelsLast);
    const bool simple = act && (type == at::kFloat || type == at::kBFloat16);
    if (simple && i + 1 < steps.size() && cuda_kernel_takes(g, *steps[i + 1])) {
      left = {p.bias, *act};
    } else if (simple && (p.bias.defined() || *act != Act::none || residual.defined())) {
      x = cuda_bias_act(x, {p.bias, *act}, residual);
    } else {
      if (p.bias.defined()) x.add_(p.bias.reshape({1, -1, 1, 1}));
      if (step.act >= 0) x.clamp_(clamp.min, clamp.max);
      if (residual.defined()) x.add_(residual);
    }
  }
  return x;
}

}  // namespace

void refold(const Graph& g, std::vector<Step>& steps, const std::function<const at::Tensor&(int)>& stored,
            uint64_t version, bool bf16) {
  for (auto& step : steps) {
    refold(g, step.parts, stored, version, bf16);
    if (step.kind != Step::Kind::fused_conv || step.packed->version == version) continue;
    pack(g, step, stored, bf16, *step.packed);
    step.packed->version = version;
  }
}
#endif

bool fused_convolution_available() { return schema(0) && schema(1) && schema(2); }

at::Tensor run_fused_conv(const Graph& g, Step& step, const std::function<const at::Tensor&(int)>& value,
                          uint64_t version, bool bf16) {
  const auto& conv = g.nodes[step.conv];
  const auto clamp = clamp_of(g, step.act);
  auto& p = *step.packed;
  auto x = value(conv.inputs[0]);
#ifdef MNV2_CUDA
  if (x.is_cuda()) return run_on_cuda(g, {&step}, value, version, bf16);
#endif
  std::unique_lock<std::mutex> lock(p.mutex);
  if (p.version != version) {
    pack(g, step, value, bf16, p);
    p.version = version;
  }
  const auto weight = p.weight, bias = p.bias;
  x = x.to(weight.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
  const auto stride = conv.attrs.integers("stride"), dilation = conv.attrs.integers("dilation");
  const int64_t groups = conv.op == "conv2d" ? conv.attrs.integer("groups") : x.size(1);
  const auto ends = conv.attrs.integers("padding");
  const bool uneven = (ends[0] != ends[1] || ends[2] != ends[3]) && weight.size(2) == g.nodes[conv.inputs[1]].shape[2];
  if (uneven) x = at::constant_pad_nd(x, {ends[2], ends[3], ends[0], ends[1]}, 0);
  const std::vector<int64_t> pads = uneven ? std::vector<int64_t>{0, 0} : p.pads;

  at::Tensor residual;
  if (step.residual >= 0) residual = value(step.residual);
  if (!one_dnn_takes(x, clamp)) {
    lock.unlock();
    auto y = at::conv2d(x, weight, bias, stride, pads, dilation, groups);
    if (step.act >= 0) y = y.clamp_(clamp.min, clamp.max);
    return residual.defined() ? y.add_(residual.to(y.scalar_type())) : y;
  }

  const auto sizes = x.sizes().vec();
  at::Tensor packed;
  for (const auto& [shape, candidate] : p.packed) {
    if (shape == sizes) packed = candidate;
  }
  if (!packed.defined()) {
    packed = call(schema(2), {weight, pads, stride, dilation, groups, sizes});
    if (p.packed.size() > 2) p.packed.erase(p.packed.begin());
    p.packed.emplace_back(sizes, packed);
  }
  lock.unlock();

  c10::List<c10::optional<at::Scalar>> bounds;
  std::string attr = "none";
  if (step.act >= 0) {
    attr = std::isfinite(clamp.max) ? "hardtanh" : "relu";
    if (attr == "hardtanh") {
      bounds.push_back(at::Scalar(clamp.min));
      bounds.push_back(at::Scalar(clamp.max));
    }
  }
  if (residual.defined() && step.act < 0) {
    residual = residual.to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    return call(schema(1), {x, residual, packed, bias, pads, stride, dilation, groups, std::string("add"),
                            c10::IValue(), c10::IValue(), bounds, c10::IValue()});
  }
  auto y = call(schema(0), {x, packed, bias, pads, stride, dilation, groups, attr, bounds, std::string("")});
  // act(conv) + residual is not a pattern oneDNN has in this order (the ReLU6-bottleneck ablation).
  return residual.defined() ? y.add_(residual.to(y.scalar_type())) : y;
}

namespace {

/** The CPU multiplies bfloat16 matrices in hardware: oneDNN uses it, our kernels do not. */
bool has_bf16_tiles() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  return __builtin_cpu_supports("amx-bf16");
#else
  return false;
#endif
}

std::shared_ptr<const SeparableBlock> pack_block(const Graph& g, const Step& step,
                                                 const std::function<const at::Tensor&(int)>& value) {
  std::vector<Folded> kept;
  std::vector<FoldedConv> convs;
  for (const auto& part : step.parts) {
    const auto& conv = g.nodes[part.conv];
    kept.push_back(fold(g, part, value));
    const auto& [weight, bias] = kept.back();
    const auto pads = conv.attrs.integers("padding");
    const auto clamp = clamp_of(g, part.act);
    const bool depthwise = conv.op == "depthwiseConv2d";
    convs.push_back({weight.data_ptr<float>(), bias.defined() ? bias.data_ptr<float>() : nullptr,
                     depthwise ? weight.size(0) : weight.size(1), weight.size(0), weight.size(2),
                     conv.attrs.integers("stride")[0], pads[0], pads[2], pads[1], pads[3],
                     static_cast<float>(clamp.min), static_cast<float>(clamp.max)});
  }
  const size_t n = convs.size();
  return std::make_shared<SeparableBlock>(n > 2 ? &convs[0] : nullptr, n > 1 ? &convs[n - 2] : nullptr, convs[n - 1]);
}

}  // namespace

at::Tensor run_separable(const Graph& g, Step& step, const std::function<const at::Tensor&(int)>& value,
                         uint64_t version, bool bf16) {
  auto x = value(g.nodes[step.parts.front().conv].inputs[0]);
#ifdef MNV2_CUDA
  if (x.is_cuda()) {
    std::vector<Step*> parts;
    for (auto& part : step.parts) parts.push_back(&part);
    return run_on_cuda(g, parts, value, version, bf16);
  }
#endif
  const auto& node = g.nodes[step.node];
  const bool ours = x.is_cpu() && g.nodes[g.nodes[step.parts.front().conv].inputs[1]].dtype == at::kFloat &&
                    x.numel() > 0 && !(bf16 && has_bf16_tiles());
  if (!ours) {
    at::Tensor last;
    int made = -1;
    for (auto& part : step.parts) {
      last = run_fused_conv(
          g, part, [&](int n) -> const at::Tensor& { return n == made ? last : value(n); }, version, bf16);
      made = part.node;
    }
    return last;
  }
  std::shared_ptr<const SeparableBlock> block;
  {
    std::lock_guard<std::mutex> lock(step.block->mutex);
    if (step.block->version != version || !step.block->weights) {
      step.block->weights = pack_block(g, step, value);
      step.block->version = version;
    }
    block = step.block->weights;
  }
  const auto type = bf16 ? at::kBFloat16 : at::kFloat;
  x = x.to(type);
  const bool planar = block->takes_planar() && x.is_contiguous();
  if (!planar) x = x.contiguous(at::MemoryFormat::ChannelsLast);
  const SeparableBlock::Size size{x.size(2), x.size(3)}, out = block->out(size);
  TORCH_CHECK(out.H > 0 && out.W > 0, "convolution: an image of ", size.H, " x ", size.W,
              " is smaller than the kernel");
  at::Tensor residual;
  if (step.parts.back().residual >= 0)
    residual = value(step.parts.back().residual).to(type).contiguous(at::MemoryFormat::ChannelsLast);
  auto y = at::empty({x.size(0), node.shape[1], out.H, out.W}, x.options(), at::MemoryFormat::ChannelsLast);
  auto run = [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    auto data = [](const at::Tensor& t) { return t.defined() ? static_cast<T*>(t.data_ptr()) : nullptr; };
    block->run<T>(data(x), planar, data(residual), x.size(0), size, data(y), at::get_num_threads(), parallel());
  };
  if (bf16)
    run(static_cast<bfloat16*>(nullptr));
  else
    run(static_cast<float*>(nullptr));
  return y;
}

}  // namespace mnv2
