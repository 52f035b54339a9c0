// See separable.h.
#include "exec/steps/separable.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <limits>

#include "autograd/fused.h"
#include "kernels/separable.h"

#ifdef MNV2_CUDA
#include "exec/steps/convolutions_cuda.h"
#endif

namespace mnv2 {
namespace {

/** The CPU multiplies bfloat16 matrices in hardware: oneDNN uses it, our kernels do not. */
bool has_bf16_tiles() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  return __builtin_cpu_supports("amx-bf16");
#else
  return false;
#endif
}

FusedConvolution* convolution_at(const Draft& draft, int node) {
  return dynamic_cast<FusedConvolution*>(draft.at[node].get());
}

const std::vector<int64_t>& weight_of(const Draft& draft, const FusedConvolution& step) {
  return draft.node(draft.node(step.conv).inputs[1]).shape;
}

/** The step that makes the input of `step`, if nobody else reads that and it adds nothing. */
FusedConvolution* before(const Draft& draft, const FusedConvolution& step) {
  const int from = draft.node(step.conv).inputs[0];
  auto* found = convolution_at(draft, from);
  return found && found->residual < 0 && draft.uses[from] == 1 ? found : nullptr;
}

}  // namespace

void match_separable(Draft& draft, int node) {
  auto* last = convolution_at(draft, node);
  if (!last || !is_pointwise(draft.node(last->conv), weight_of(draft, *last))) return;
  std::vector<int> nodes{node};
  auto is_depthwise = [&](const FusedConvolution* step) {
    return step && draft.node(step->conv).op == "depthwiseConv2d";
  };
  const auto* depthwise = before(draft, *last);
  if (is_depthwise(depthwise) && is_plain_depthwise(draft.graph, draft.node(depthwise->conv))) {
    nodes.insert(nodes.begin(), depthwise->node);
    const auto* first = before(draft, *depthwise);
    // A pointwise convolution behind another depthwise one ends that block (MobileNetV1): it does not begin this.
    if (first && !is_depthwise(before(draft, *first)) &&
        is_dense(draft.node(first->conv), weight_of(draft, *first), std::numeric_limits<int64_t>::max()))
      nodes.insert(nodes.begin(), first->node);
  }
  std::vector<std::unique_ptr<FusedConvolution>> parts;
  for (int part : nodes) {
    parts.emplace_back(static_cast<FusedConvolution*>(draft.at[part].release()));
    draft.absorbed[part] = 1;
  }
  draft.place(std::make_unique<SeparableStep>(std::move(parts)), {});
}

SeparableStep::SeparableStep(std::vector<std::unique_ptr<FusedConvolution>> parts)
    : Step(parts.back()->node), parts_(std::move(parts)) {}
SeparableStep::~SeparableStep() = default;

std::vector<int> SeparableStep::reads(const Graph& g) const {
  std::vector<int> in;
  for (const auto& part : parts_) {
    const auto of = part->reads(g);
    in.insert(in.end(), of.begin(), of.end());
  }
  return in;
}

std::string SeparableStep::describe(const Graph& g) const {
  std::string line;
  for (const auto& part : parts_) line += (line.empty() ? "" : "+") + part->describe(g);
  return line;
}

void SeparableStep::refresh(Frame& frame) {
  if (!frame.stored.device().is_cpu()) {
    for (const auto& part : parts_) part->refresh(frame);
    return;
  }
  if (block_ && version_ == frame.stored.version()) return;
  std::vector<Folded> kept;  // what `convs` points into
  std::vector<FoldedConv> convs;
  for (const auto& part : parts_) {
    const auto& conv = frame.node(part->conv);
    kept.push_back(part->fold(frame));
    const auto& [weight, bias] = kept.back();
    const auto pads = conv.attrs.integers("padding");
    const auto clamp = clamp_of(frame.graph, part->act);
    const bool depthwise = conv.op == "depthwiseConv2d";
    convs.push_back({weight.data_ptr<float>(), bias.defined() ? bias.data_ptr<float>() : nullptr,
                     depthwise ? weight.size(0) : weight.size(1), weight.size(0), weight.size(2),
                     conv.attrs.integers("stride")[0], pads[0], pads[2], pads[1], pads[3],
                     static_cast<float>(clamp.min), static_cast<float>(clamp.max)});
  }
  const size_t n = convs.size();
  block_ = std::make_unique<const SeparableBlock>(n > 2 ? &convs[0] : nullptr, n > 1 ? &convs[n - 2] : nullptr,
                                                  convs[n - 1]);
  version_ = frame.stored.version();
}

at::Tensor SeparableStep::run_parts(Frame& frame) {
  for (size_t i = 0; i + 1 < parts_.size(); i++) {
    frame.values[parts_[i]->node] = parts_[i]->run(frame);
    if (i > 0) frame.values[parts_[i - 1]->node].reset();
  }
  auto y = parts_.back()->run(frame);
  if (parts_.size() > 1) frame.values[parts_[parts_.size() - 2]->node].reset();
  return y;
}

at::Tensor SeparableStep::run(Frame& frame) {
  const auto& first = frame.node(parts_.front()->conv);
  auto x = frame.value(first.inputs[0]);
#ifdef MNV2_CUDA
  if (x.is_cuda()) {
    std::vector<FusedConvolution*> parts;
    for (const auto& part : parts_) parts.push_back(part.get());
    return run_convolutions_on_cuda(frame, parts);
  }
#endif
  const bool bf16 = frame.context.bf16;
  const bool ours =
      x.is_cpu() && frame.node(first.inputs[1]).dtype == at::kFloat && x.numel() > 0 && !(bf16 && has_bf16_tiles());
  if (!ours) return run_parts(frame);
  refresh(frame);
  const auto& block = *block_;
  const auto type = bf16 ? at::kBFloat16 : at::kFloat;
  x = x.to(type);
  const bool planar = block.takes_planar() && x.is_contiguous();
  if (!planar) x = x.contiguous(at::MemoryFormat::ChannelsLast);
  const SeparableBlock::Size size{x.size(2), x.size(3)}, out = block.out(size);
  TORCH_CHECK(out.H > 0 && out.W > 0, "convolution: an image of ", size.H, " x ", size.W,
              " is smaller than the kernel");
  at::Tensor residual;
  if (parts_.back()->residual >= 0)
    residual = frame.value(parts_.back()->residual).to(type).contiguous(at::MemoryFormat::ChannelsLast);
  auto y = at::empty({x.size(0), frame.node(node).shape[1], out.H, out.W}, x.options(), at::MemoryFormat::ChannelsLast);
  auto run = [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    auto data = [](const at::Tensor& t) { return t.defined() ? static_cast<T*>(t.data_ptr()) : nullptr; };
    block.run<T>(data(x), planar, data(residual), x.size(0), size, data(y), at::get_num_threads(), parallel());
  };
  if (bf16)
    run(static_cast<bfloat16*>(nullptr));
  else
    run(static_cast<float*>(nullptr));
  return y;
}

}  // namespace mnv2
