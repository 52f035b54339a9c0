// Inference of a quantised graph on the CPU in int8: convolutions, residual sums, global means and the last linear
// layer between fakeQuantize nodes run on kernels/quantised.h, and what lies between two such steps is uint8. Owns what
// each step keeps and how it runs; quantised_patterns.h recognises them. Where a step cannot (CUDA, scales too far
// apart) it runs its nodes one by one.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "exec/steps/patterns.h"
#include "kernels/quantised.h"

namespace mnv2 {

/** A convolution or linear layer with int8 weights, from the value it reads to the value it is rounded to. */
struct QuantisedLayer {
  int op, act;      // act: relu, relu6, hardtanh, or -1
  int weight;       // dequantize
  int from, value;  // fakeQuantize nodes; value -1: a last layer's, not rounded
};

class QuantisedStep : public Step {
 public:
  /** `nodes`: what it computes, in order; the last is its value. `values`: the fakeQuantize nodes it reads as bytes. */
  QuantisedStep(std::vector<int> nodes, std::vector<int> values)
      : Step(nodes.back()), nodes_(std::move(nodes)), values_(std::move(values)) {}

  at::Tensor run(Frame& frame) final;
  std::vector<int> reads(const Graph& graph) const final;
  std::string describe(const Graph& graph) const override;
  bool keeps_weights() const final { return true; }
  void refresh(Frame& frame) final;

  const std::vector<int>& values() const { return values_; }
  /** Its value is a fakeQuantize that only such steps read: it is handed on as uint8. */
  void hand_over_bytes() { bytes_ = true; }

 protected:
  /** Makes what it keeps of weights and scales. Throws std::invalid_argument where they cannot be had in int8. */
  virtual void prepare(Frame& frame) = 0;
  /** uint8, or for the last layer float32. */
  virtual at::Tensor compute(Frame& frame) = 0;

  /** A value as uint8, images channels-last. */
  at::Tensor bytes(Frame& frame, int value) const;
  /** Of a fakeQuantize node it computes or reads. */
  const Scale& scale(int value) const { return scales_.at(value); }

  /** A layer's numbers as the kernels take them: the bias in steps of a product, a product's step over the output's. */
  struct Numbers {
    at::Tensor weight;
    std::vector<int32_t> bias;
    std::vector<float> multiplier;
  };
  Numbers numbers_of(Frame& frame, const QuantisedLayer& layer) const;
  QuantisedConv conv_of(const Frame& frame, const QuantisedLayer& layer, const Numbers& numbers) const;

  std::vector<int> nodes_, values_;

 private:
  at::Tensor run_nodes(Frame& frame);

  bool bytes_ = false, fits_ = true;
  uint64_t version_ = 0;  // of the weights it was prepared for
  std::map<int, Scale> scales_;
};

/** fakeQuantize of a float value that only int8 steps read. */
class RoundingStep : public QuantisedStep {
 public:
  explicit RoundingStep(int node) : QuantisedStep({node}, {}) {}

 private:
  void prepare(Frame&) override {}
  at::Tensor compute(Frame& frame) override;
};

/** Up to three convolutions, as in SeparableStep, and a residual sum. */
class QuantisedBlockStep : public QuantisedStep {
 public:
  QuantisedBlockStep(std::vector<QuantisedLayer> layers, int residual, std::vector<int> nodes, std::vector<int> values)
      : QuantisedStep(std::move(nodes), std::move(values)), layers_(std::move(layers)), residual_(residual) {}
  const QuantisedLayer& first() const { return layers_.front(); }
  /** The fakeQuantize in front of it is its own: it rounds while it reads. */
  void take_floats();

 private:
  void prepare(Frame& frame) override;
  at::Tensor compute(Frame& frame) override;

  const std::vector<QuantisedLayer> layers_;
  const int residual_;  // fakeQuantize, -1: none
  bool floats_ = false;
  std::unique_ptr<const QuantisedBlock> block_;
  QuantisedAdd add_;
};

class QuantisedMeanStep : public QuantisedStep {
 public:
  QuantisedMeanStep(int pool, int from, int value) : QuantisedStep({pool, value}, {from}) {}

 private:
  void prepare(Frame&) override {}
  at::Tensor compute(Frame& frame) override;
};

class QuantisedLinearStep : public QuantisedStep {
 public:
  explicit QuantisedLinearStep(const QuantisedLayer& layer)
      : QuantisedStep({layer.weight, layer.op}, {layer.from}), layer_(layer) {}

 private:
  void prepare(Frame& frame) override;
  at::Tensor compute(Frame& frame) override;

  const QuantisedLayer layer_;
  std::unique_ptr<const QuantisedLinear> linear_;
};

}  // namespace mnv2
