// See loop_spec.h.
#include "napi/loop_spec.h"

#include "napi/image_store_class.h"
#include "napi/row_store_class.h"

namespace mnv2 {
namespace {

Binding binding_from(const Napi::Value& value, const std::string& what) {
  const auto spec = object_from(value, what, "{ rows } or { images, scale, shift }");
  Binding b;
  if (spec.Has("rows")) {
    b.rows = alive(unwrapped<RowStoreClass>(spec.Get("rows"), what + ".rows").core, "RowStore");
    b.offset = whole_from(spec.Get("offset"), what + ".offset", -9007199254740991);
    if (const auto classes = spec.Get("classes"); !classes.IsUndefined()) {
      b.classes = whole_from(classes, what + ".classes", 1);
      if (b.rows->values.dim() != 1 || b.rows->values.scalar_type() != at::kLong)
        throw Failure("USAGE", what + ": expected a store of int64 labels, one a row");
    }
    return b;
  }
  b.images = image_store_from(spec.Get("images"), what + ".images");
  b.recipe = recipe_from(spec, *b.images, what);
  b.each_step = spec.Get("eachStep").ToBoolean();
  return b;
}

void check_ranges(const LoopSpec& spec) {
  for (int32_t i : spec.order) {
    for (const auto& [name, b] : spec.bind) {
      const int64_t size = b.rows ? b.rows->values.size(0) : b.images->count(), at = i + b.offset;
      if (at < 0 || at >= size)
        throw Failure("USAGE", "loop: input '" + name + "' has " + std::to_string(size) +
                                   " examples, the order asks for number " + std::to_string(at));
    }
    for (const auto& target : spec.into) {
      const int64_t size = target.store->values.size(0), at = i + target.offset;
      if (at < 0 || at >= size)
        throw Failure("USAGE",
                      "loop: a store of " + std::to_string(size) + " rows cannot take row " + std::to_string(at));
    }
  }
}

}  // namespace

NamedLoop loop_from(const Napi::Value& value, const ProgramCore& program) {
  const auto o = object_from(value, "loop", "{ order, batchSize, bind, ... }");
  NamedLoop named;
  auto& spec = named.spec;
  spec.batch_size = whole_from(o.Get("batchSize"), "loop: batchSize", 1);
  const auto bind = object_from(o.Get("bind"), "loop: bind");
  for (const auto& name : keys_of(bind)) spec.bind.emplace(name, binding_from(bind.Get(name), "loop: bind." + name));
  spec.first_step = whole_from(o.Get("firstStep"), "loop: firstStep", 0);
  spec.seed = whole_from(o.Get("seed"), "loop: seed", 0);
  if (const auto mix = o.Get("mix"); !mix.IsUndefined()) {
    const auto alphas = object_from(mix, "loop: mix", "{ mixup, cutmix }");
    const auto alpha = [&](const char* key) {
      const auto what = std::string("loop: mix.") + key;
      const double value = number_from(alphas.Get(key), what);
      if (!(value >= 0 && value <= 100)) refuse(what, "a number from 0 to 100", alphas.Get(key));
      return static_cast<float>(value);
    };
    spec.mix.mixup = alpha("mixup"), spec.mix.cutmix = alpha("cutmix");
  }
  named.stack = strings_from(o.Get("stack"), "loop: stack");
  named.rows = strings_from(o.Get("rows"), "loop: rows");
  for (const auto& name : named.stack) spec.stack.push_back(program.node_named(name));
  for (const auto& name : named.rows) spec.rows.push_back(program.node_named(name));
  const auto into = object_from(o.Get("into"), "loop: into");
  for (const auto& name : keys_of(into)) {
    const auto what = "loop: into." + name;
    const auto target = object_from(into.Get(name), what, "{ store, offset }");
    spec.into.push_back({program.node_named(name),
                         alive(unwrapped<RowStoreClass>(target.Get("store"), what + ".store").core, "RowStore"),
                         whole_from(target.Get("offset"), what + ".offset", -9007199254740991)});
  }
  if (const auto finite = o.Get("finite"); !finite.IsUndefined()) {
    const auto name = text_from(finite, "loop: finite");
    for (size_t i = 0; i < named.stack.size(); i++) {
      if (named.stack[i] == name) spec.finite = static_cast<int>(i);
    }
    if (spec.finite < 0) throw Failure("USAGE", "loop: expected `finite` to name one of `stack`, got '" + name + "'");
  }
  spec.progress_ms = number_from(o.Get("progressMs"), "loop: progressMs");
  const auto lr = o.Get("lr"), order = o.Get("order");
  // The arrays are read last: none of the caller's code runs before they are copied.
  if (!order.IsTypedArray() || order.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    refuse("loop: order", "an Int32Array", order);
  const auto indices = order.As<Napi::Int32Array>();
  spec.order.assign(indices.Data(), indices.Data() + indices.ElementLength());
  if (!lr.IsUndefined()) {
    if (!lr.IsTypedArray() || lr.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
      refuse("loop: lr", "a Float64Array", lr);
    const auto rates = lr.As<Napi::Float64Array>();
    const size_t steps = (spec.order.size() + spec.batch_size - 1) / spec.batch_size;
    if (rates.ElementLength() != steps)
      throw Failure("USAGE", "loop: expected " + std::to_string(steps) + " learning rates, one a step, got " +
                                 std::to_string(rates.ElementLength()));
    spec.lr.assign(rates.Data(), rates.Data() + steps);
    if (const auto updates = o.Get("updates"); !updates.IsUndefined()) {
      if (!updates.IsTypedArray() || updates.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
        refuse("loop: updates", "a Uint8Array", updates);
      const auto flags = updates.As<Napi::Uint8Array>();
      if (flags.ElementLength() != steps)
        throw Failure("USAGE", "loop: expected " + std::to_string(steps) + " `updates`, one a step, got " +
                                   std::to_string(flags.ElementLength()));
      spec.updates.assign(flags.Data(), flags.Data() + steps);
    }
  }
  check_ranges(spec);
  return named;
}

}  // namespace mnv2
