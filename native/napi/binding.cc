// See binding.h. Each class owns a shared_ptr; queued jobs hold their own, so dispose() never pulls memory from under
// one.
#include "napi/binding.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "device/allocator.h"
#include "napi/convert.h"
#include "device/device.h"
#include "napi/engine.h"
#include "napi/images.h"
#include "exec/steps/fused_convolution.h"
#include "exec/program.h"
#include "exec/timing.h"

#ifdef MNV2_CUDA
#include "state/resident_cuda.h"
#endif

namespace mnv2 {
namespace {

/** Runs `body`, turning native failures into JavaScript exceptions. */
template <class Body>
auto guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, current_failure());
  }
}

template <class T>
const std::shared_ptr<T>& alive(const std::shared_ptr<T>& core, const char* what) {
  if (!core) throw Failure("DISPOSED", std::string("this ") + what + " was disposed; it cannot be used any more");
  return core;
}

Napi::Float64Array seconds_to(Napi::Env env, const std::vector<double>& values) {
  auto out = Napi::Float64Array::New(env, values.size());
  std::copy(values.begin(), values.end(), out.Data());
  return out;
}

AddonData& data_of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

class EngineWrap : public Napi::ObjectWrap<EngineWrap> {
 public:
  std::shared_ptr<Engine> core;
  at::Device device{at::kCPU};
  int threads = 1;

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Engine",
        {InstanceAccessor("device", &EngineWrap::get_device, nullptr),
         InstanceAccessor("threads", &EngineWrap::get_threads, nullptr), InstanceMethod("ping", &EngineWrap::ping),
         InstanceMethod("memory", &EngineWrap::memory), InstanceMethod("timeDepthwise", &EngineWrap::time_depthwise),
         InstanceMethod("timeCopy", &EngineWrap::time_copy), InstanceMethod("dispose", &EngineWrap::dispose)});
  }

  explicit EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info) {
    guarded(info.Env(), [&] {
      auto options = info[0].As<Napi::Object>();
      device = at::Device(text_at(options, "device"));
      threads = static_cast<int>(number_at(options, "threads"));
      install_cpu_allocator();  // before the first tensor, whichever thread makes it
      core = Engine::create(info.Env(), data_of(info.Env()).engines,
                            [device = device, threads = threads] { start_engine_thread(device, threads); });
    });
  }

  Napi::Value get_device(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), device.str()); }
  Napi::Value get_threads(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), threads); }
  Napi::Value ping(const Napi::CallbackInfo& info) {
    return core->submit(info.Env(), [] { return [](Napi::Env env) { return env.Undefined(); }; });
  }
  Napi::Value memory(const Napi::CallbackInfo& info) {
    return core->submit(info.Env(), [device = device]() -> Settle {
#ifdef MNV2_CUDA
      if (device.is_cuda()) DeviceImages::sweep();
#endif
      const auto m = device_memory(device);
      return [m](Napi::Env env) -> Napi::Value {
        auto out = Napi::Object::New(env);
        out.Set("allocated", Napi::Number::New(env, m.allocated));
        out.Set("reserved", Napi::Number::New(env, m.reserved));
        out.Set("peak", Napi::Number::New(env, m.peak));
        return out;
      };
    });
  }
  Napi::Value time_depthwise(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      auto work = info[0].As<Napi::Object>();
      const auto shape = integers_from(work.Get("shape"), "shape");
      const DepthwiseCase c{device,
                            dtype_from(text_at(work, "dtype")),
                            text_at(work, "route"),
                            shape.at(0),
                            shape.at(1),
                            shape.at(2),
                            shape.at(3),
                            static_cast<int64_t>(number_at(work, "stride"))};
      const int samples = static_cast<int>(number_at(work, "samples"));
      return core->submit(info.Env(), [c, samples]() -> Settle {
        const auto times = mnv2::time_depthwise(c, samples);
        return [times](Napi::Env env) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out.Set("forward", seconds_to(env, times.forward));
          out.Set("inputGradient", seconds_to(env, times.input_gradient));
          out.Set("weightGradient", seconds_to(env, times.weight_gradient));
          out.Set("captured", Napi::Boolean::New(env, times.captured));
          return out;
        };
      });
    });
  }
  Napi::Value time_copy(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      auto work = info[0].As<Napi::Object>();
      const auto bytes = static_cast<int64_t>(number_at(work, "bytes"));
      const int samples = static_cast<int>(number_at(work, "samples"));
      return core->submit(info.Env(), [device = device, bytes, samples]() -> Settle {
        const auto times = mnv2::time_copy(device, bytes, samples);
        return [times](Napi::Env env) -> Napi::Value { return seconds_to(env, times); };
      });
    });
  }
  void dispose(const Napi::CallbackInfo&) { core->close(); }
};

EngineWrap* engine_of(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(data_of(value.Env()).engine.Value())) {
    throw Failure("USAGE", "expected an Engine");
  }
  return EngineWrap::Unwrap(value.As<Napi::Object>());
}

class NamedTensorsWrap;
NamedTensorsWrap* named_tensors_of(const Napi::Value& value);

class NamedTensorsWrap : public Napi::ObjectWrap<NamedTensorsWrap> {
 public:
  std::shared_ptr<NamedTensors> core;
  std::shared_ptr<Engine> engine;

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NamedTensors",
        {InstanceMethod("set", &NamedTensorsWrap::set), InstanceMethod("get", &NamedTensorsWrap::get),
         InstanceMethod("names", &NamedTensorsWrap::names), InstanceMethod("copyFrom", &NamedTensorsWrap::copy_from),
         InstanceMethod("dispose", &NamedTensorsWrap::dispose)});
  }

  /** Of an engine: an empty set that takes any names. Or an External: a Handle on a program's. */
  struct Handle {
    std::shared_ptr<NamedTensors> core;
    std::shared_ptr<Engine> engine;
  };
  explicit NamedTensorsWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NamedTensorsWrap>(info) {
    guarded(info.Env(), [&] {
      if (info[0].IsExternal()) {
        const auto* handle = info[0].As<Napi::External<Handle>>().Data();
        core = handle->core;
        engine = handle->engine;
        return;
      }
      auto* wrap = engine_of(info[0]);
      engine = wrap->core;
      core = std::make_shared<NamedTensors>(wrap->device);
    });
  }

  Napi::Value set(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      alive(core, "set of named tensors");
      auto list = info[0].As<Napi::Array>();
      std::vector<std::pair<std::string, at::Tensor>> entries;
      for (uint32_t i = 0; i < list.Length(); i++) {
        auto entry = list.Get(i).As<Napi::Object>();
        const auto name = text_at(entry, "name");
        entries.emplace_back(name, tensor_from(entry, name));
      }
      return engine->submit(info.Env(), [core = core, entries = std::move(entries)]() -> Settle {
        for (const auto& [name, value] : entries) core->set(name, value);
        return [](Napi::Env env) { return env.Undefined(); };
      });
    });
  }
  Napi::Value get(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      alive(core, "set of named tensors");
      return engine->submit(info.Env(), [core = core, names = strings_from(info[0])]() -> Settle {
        std::vector<at::Tensor> values;
        for (const auto& name : names) values.push_back(host_form(core->get(name)));
        return [values](Napi::Env env) -> Napi::Value {
          auto out = Napi::Array::New(env, values.size());
          for (uint32_t i = 0; i < values.size(); i++) out.Set(i, tensor_to(env, values[i]));
          return out;
        };
      });
    });
  }
  Napi::Value copy_from(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      alive(core, "set of named tensors");
      auto* from = named_tensors_of(info[0]);
      alive(from->core, "set of named tensors");
      if (from->engine != engine) throw Failure("USAGE", "copyFrom: the tensors belong to another engine");
      return engine->submit(info.Env(), [core = core, from = from->core]() -> Settle {
        core->copy_from(*from);
        return [](Napi::Env env) { return env.Undefined(); };
      });
    });
  }
  Napi::Value names(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto names = alive(core, "set of named tensors")->names();
      auto out = Napi::Array::New(info.Env(), names.size());
      for (uint32_t i = 0; i < names.size(); i++) out.Set(i, Napi::String::New(info.Env(), names[i]));
      return out;
    });
  }
  void dispose(const Napi::CallbackInfo&) { core.reset(); }
};

NamedTensorsWrap* named_tensors_of(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(data_of(value.Env()).named_tensors.Value()))
    throw Failure("USAGE", "expected Weights, or the state of a program");
  return NamedTensorsWrap::Unwrap(value.As<Napi::Object>());
}

class RowStoreWrap : public Napi::ObjectWrap<RowStoreWrap> {
 public:
  std::shared_ptr<RowStore> core;
  std::shared_ptr<Engine> engine;

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "RowStore",
        {InstanceAccessor("rows", &RowStoreWrap::get_rows, nullptr),
         InstanceAccessor("bytes", &RowStoreWrap::get_bytes, nullptr), InstanceMethod("set", &RowStoreWrap::set),
         InstanceMethod("get", &RowStoreWrap::get), InstanceMethod("dispose", &RowStoreWrap::dispose)});
  }

  explicit RowStoreWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RowStoreWrap>(info) {
    guarded(info.Env(), [&] {
      auto* wrap = engine_of(info[0]);
      engine = wrap->core;
      auto options = info[1].As<Napi::Object>();
      core = std::make_shared<RowStore>(static_cast<int64_t>(number_at(options, "rows")),
                                        integers_from(options.Get("shape"), "RowStore shape"),
                                        dtype_from(text_at(options, "dtype")), wrap->device);
    });
  }

  Napi::Value get_rows(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), alive(core, "RowStore")->values.size(0)); });
  }
  Napi::Value get_bytes(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), alive(core, "RowStore")->values.nbytes()); });
  }
  Napi::Value set(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      alive(core, "RowStore");
      auto data = info[0];
      auto spec = Napi::Object::New(info.Env());
      auto shape = Napi::Array::New(info.Env());
      for (int64_t i = 0; i < core->values.dim(); i++)
        shape.Set(static_cast<uint32_t>(i), Napi::Number::New(info.Env(), core->values.size(i)));
      spec.Set("data", data);
      spec.Set("shape", shape);
      spec.Set("dtype", Napi::String::New(info.Env(), dtype_name(core->values.scalar_type())));
      auto values = tensor_from(spec, "RowStore");
      return engine->submit(info.Env(), [core = core, values]() -> Settle {
        core->set(values);
        return [](Napi::Env env) { return env.Undefined(); };
      });
    });
  }
  Napi::Value get(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      alive(core, "RowStore");
      const int64_t start = info[0].ToNumber().Int64Value(), count = info[1].ToNumber().Int64Value();
      if (start < 0 || count < 0 || start + count > core->values.size(0)) {
        throw Failure("USAGE", "RowStore.get: expected rows within [0, " + std::to_string(core->values.size(0)) +
                                   "), got " + std::to_string(start) + " to " + std::to_string(start + count));
      }
      return engine->submit(info.Env(), [core = core, start, count]() -> Settle {
        auto rows = host_form(core->values.slice(0, start, start + count));
        return [rows](Napi::Env env) -> Napi::Value { return tensor_to(env, rows); };
      });
    });
  }
  void dispose(const Napi::CallbackInfo&) { core.reset(); }
};

RowStoreWrap* row_store_of(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(data_of(value.Env()).row_store.Value())) {
    throw Failure("USAGE", "expected a RowStore");
  }
  return RowStoreWrap::Unwrap(value.As<Napi::Object>());
}

class ProgramWrap : public Napi::ObjectWrap<ProgramWrap> {
 public:
  std::shared_ptr<ProgramCore> core;
  std::shared_ptr<Engine> engine;

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Program",
        {InstanceAccessor("state", &ProgramWrap::state, nullptr), InstanceMethod("run", &ProgramWrap::run),
         InstanceMethod("loop", &ProgramWrap::loop), InstanceMethod("plan", &ProgramWrap::plan),
         InstanceMethod("cudaGraph", &ProgramWrap::cuda_graph), InstanceMethod("dispose", &ProgramWrap::dispose)});
  }

  explicit ProgramWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProgramWrap>(info) {
    guarded(info.Env(), [&] {
      auto* wrap = engine_of(info[0]);
      engine = wrap->core;
      auto* weights = named_tensors_of(info[1]);
      alive(weights->core, "set of named tensors");
      if (weights->engine != engine) throw Failure("USAGE", "compile: the weights belong to another engine");
      auto graph = graph_from(info[2].As<Napi::Object>());
      link(graph);
      core = std::make_shared<ProgramCore>(std::move(graph), weights->core);
    });
  }

  Napi::Value state(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      NamedTensorsWrap::Handle handle{alive(core, "Program")->state(), engine};
      return data_of(info.Env())
          .named_tensors.New({Napi::External<NamedTensorsWrap::Handle>::New(info.Env(), &handle)});
    });
  }

  std::vector<int> fetch_from(const Napi::Value& value) const {
    const auto names = value.IsArray() ? strings_from(value) : core->graph.outputs;
    std::vector<int> nodes;
    for (const auto& name : names) nodes.push_back(core->node_named(name));
    return nodes;
  }

  Napi::Value run(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      alive(core, "Program");
      Feeds feeds;
      auto given = info[0].As<Napi::Object>();
      auto names = given.GetPropertyNames();
      for (uint32_t i = 0; i < names.Length(); i++) {
        const auto name = names.Get(i).As<Napi::String>().Utf8Value();
        auto value = given.Get(name);
        feeds[name] = tensor_from(value, "run: input '" + name + "'");
      }
      auto o = info[1].As<Napi::Object>();
      RunOptions options;
      options.fetch = fetch_from(o.Get("fetch"));
      if (o.Get("lr").IsNumber()) options.lr = number_at(o, "lr");
      if (o.Get("step").IsNumber()) options.step = static_cast<uint64_t>(number_at(o, "step"));
      if (o.Get("seed").IsNumber()) options.seed = static_cast<uint64_t>(number_at(o, "seed"));
      auto keys = o.Get("fetch").IsArray() ? strings_from(o.Get("fetch")) : core->graph.outputs;
      return engine->submit(
          info.Env(),
          [core = core, feeds = std::move(feeds), options = std::move(options), keys = std::move(keys)]() -> Settle {
            std::vector<at::Tensor> values;
            for (const auto& value : core->run(feeds, options)) values.push_back(host_form(value));
            return [keys, values](Napi::Env env) -> Napi::Value {
              auto out = Napi::Object::New(env);
              for (size_t i = 0; i < keys.size(); i++) out.Set(keys[i], tensor_to(env, values[i]));
              return out;
            };
          });
    });
  }

  Binding binding_from(const Napi::Object& spec) const {
    Binding b;
    if (spec.Has("rows")) {
      b.rows = alive(row_store_of(spec.Get("rows"))->core, "RowStore");
      b.offset = static_cast<int64_t>(number_at(spec, "offset"));
      return b;
    }
    b.images = image_store_from(spec.Get("images"));
    b.recipe.preprocess = preprocess_from(spec);
    if (spec.Get("augment").IsObject()) b.recipe.augment = augment_from(spec.Get("augment"));
    b.recipe.seed = static_cast<uint64_t>(number_at(spec, "seed"));
    b.recipe.epoch = static_cast<uint64_t>(number_at(spec, "epoch"));
    return b;
  }

  LoopSpec loop_from(const Napi::Object& o, std::vector<std::string>& stack_names,
                     std::vector<std::string>& row_names) const {
    LoopSpec spec;
    auto order = o.Get("order");
    if (!order.IsTypedArray() || order.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
      throw Failure("USAGE", "loop: expected order as an Int32Array");
    auto indices = order.As<Napi::Int32Array>();
    spec.order.assign(indices.Data(), indices.Data() + indices.ElementLength());
    spec.batch_size = static_cast<int64_t>(number_at(o, "batchSize"));
    if (spec.batch_size < 1) throw Failure("USAGE", "loop: expected a batch size of at least 1");
    auto bind = o.Get("bind").As<Napi::Object>();
    auto names = bind.GetPropertyNames();
    for (uint32_t i = 0; i < names.Length(); i++) {
      const auto name = names.Get(i).As<Napi::String>().Utf8Value();
      spec.bind.emplace(name, binding_from(bind.Get(name).As<Napi::Object>()));
    }
    if (o.Get("lr").IsTypedArray()) {
      auto lr = o.Get("lr").As<Napi::Float64Array>();
      const size_t steps = (spec.order.size() + spec.batch_size - 1) / spec.batch_size;
      if (lr.ElementLength() != steps)
        throw Failure("USAGE", "loop: expected " + std::to_string(steps) + " learning rates, one a step, got " +
                                   std::to_string(lr.ElementLength()));
      spec.lr.assign(lr.Data(), lr.Data() + steps);
    }
    spec.first_step = static_cast<uint64_t>(number_at(o, "firstStep"));
    spec.seed = static_cast<uint64_t>(number_at(o, "seed"));
    stack_names = strings_from(o.Get("stack"));
    row_names = strings_from(o.Get("rows"));
    for (const auto& name : stack_names) spec.stack.push_back(core->node_named(name));
    for (const auto& name : row_names) spec.rows.push_back(core->node_named(name));
    auto into = o.Get("into").As<Napi::Object>();
    auto targets = into.GetPropertyNames();
    for (uint32_t i = 0; i < targets.Length(); i++) {
      const auto name = targets.Get(i).As<Napi::String>().Utf8Value();
      auto target = into.Get(name).As<Napi::Object>();
      spec.into.push_back({core->node_named(name), alive(row_store_of(target.Get("store"))->core, "RowStore"),
                           static_cast<int64_t>(number_at(target, "offset"))});
    }
    if (o.Get("finite").IsString()) {
      const auto name = text_at(o, "finite");
      for (size_t i = 0; i < stack_names.size(); i++) {
        if (stack_names[i] == name) spec.finite = static_cast<int>(i);
      }
      if (spec.finite < 0) throw Failure("USAGE", "loop: expected `finite` to name one of `stack`, got '" + name + "'");
    }
    spec.progress_ms = number_at(o, "progressMs");
    check_ranges(spec);
    return spec;
  }

  static void check_ranges(const LoopSpec& spec) {
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

  Napi::Value loop(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      alive(core, "Program");
      const auto env = info.Env();
      std::vector<std::string> stack_names, row_names;
      auto spec = loop_from(info[0].As<Napi::Object>(), stack_names, row_names);
      auto cancelled = std::make_shared<std::atomic<bool>>(false);
      std::function<void(int64_t, const std::vector<double>&)> progress;
      std::shared_ptr<Napi::FunctionReference> callback;  // kept by the job as well, so that it dies where it may
      if (info[1].IsFunction()) {
        callback = std::make_shared<Napi::FunctionReference>(Napi::Persistent(info[1].As<Napi::Function>()));
        progress = [callback, to = engine.get()](int64_t step, const std::vector<double>& sums) {
          to->notify([callback, step, sums](Napi::Env env) {
            auto numbers = Napi::Float64Array::New(env, sums.size());
            std::copy(sums.begin(), sums.end(), numbers.Data());
            callback->Call({Napi::Number::New(env, static_cast<double>(step)), numbers});
          });
        };
      }
      auto promise = engine->submit(
          env,
          [core = core, to = engine.get(), spec = std::move(spec), progress = std::move(progress), cancelled,
           stack_names, row_names]() -> Settle {
            auto stop = [&] { return *cancelled || to->stopping(); };
            auto result = std::make_shared<LoopResult>(core->loop(spec, stop, progress));
            for (auto& rows : result->rows) rows = host_form(rows);
            return [result, stack_names, row_names](Napi::Env env) -> Napi::Value {
              auto out = Napi::Object::New(env);
              out.Set("steps", Napi::Number::New(env, result->steps));
              out.Set("examples", Napi::Number::New(env, result->examples));
              out.Set("stopped", Napi::Boolean::New(env, result->stopped));
              out.Set("diverged", Napi::Number::New(env, result->diverged));
              out.Set("seconds", Napi::Number::New(env, result->seconds));
              out.Set("cudaGraph", Napi::String::New(env, result->cuda_graph));
              auto stack = Napi::Object::New(env), rows = Napi::Object::New(env);
              for (size_t i = 0; i < stack_names.size(); i++) {
                auto numbers = Napi::Float64Array::New(env, result->stack[i].size());
                std::copy(result->stack[i].begin(), result->stack[i].end(), numbers.Data());
                stack.Set(stack_names[i], numbers);
              }
              for (size_t i = 0; i < result->rows.size(); i++) rows.Set(row_names[i], tensor_to(env, result->rows[i]));
              out.Set("stack", stack);
              out.Set("rows", rows);
              return out;
            };
          },
          callback);
      auto handle = Napi::Object::New(env);
      handle.Set("promise", promise);
      handle.Set("cancel", Napi::Function::New(env, [cancelled](const Napi::CallbackInfo&) { *cancelled = true; }));
      return handle;
    });
  }

  Napi::Value plan(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      alive(core, "Program");
      const auto lines = core->describe_plan(fetch_from(info[0]));
      auto out = Napi::Array::New(info.Env(), lines.size());
      for (uint32_t i = 0; i < lines.size(); i++) out.Set(i, Napi::String::New(info.Env(), lines[i]));
      return out;
    });
  }

  Napi::Value cuda_graph(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      alive(core, "Program");
      return engine->submit(info.Env(), [core = core]() -> Settle {
        return [text = core->cuda_graph()](Napi::Env env) -> Napi::Value { return Napi::String::New(env, text); };
      });
    });
  }

  void dispose(const Napi::CallbackInfo&) { core.reset(); }
};

Napi::Value op_list(const Napi::CallbackInfo& info) {
  const auto names = op_names();
  auto out = Napi::Array::New(info.Env(), names.size());
  for (uint32_t i = 0; i < names.size(); i++) out.Set(i, Napi::String::New(info.Env(), names[i]));
  return out;
}

Napi::Value build_info(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto b = build_facts();
  auto out = Napi::Object::New(env);
  out.Set("package", Napi::String::New(env, MNV2_VERSION));
  out.Set("libtorch", Napi::String::New(env, b.libtorch));
  out.Set("libtorchRuntime", Napi::String::New(env, b.libtorch_runtime));
  out.Set("compiler", Napi::String::New(env, b.compiler));
  out.Set("cxxStandard", Napi::Number::New(env, b.cxx_standard));
  out.Set("cuda", b.cuda.empty() ? env.Null() : Napi::Value(Napi::String::New(env, b.cuda)));
  out.Set("cudaArchs", Napi::String::New(env, b.cuda_archs));
  out.Set("cpuCapability", Napi::String::New(env, b.cpu_capability));
  out.Set("mkldnn", Napi::Boolean::New(env, fused_convolution_available()));
  out.Set("bf16", Napi::Boolean::New(env, b.bf16));
  return out;
}

Napi::Value devices(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto found = cuda_devices();
  auto out = Napi::Array::New(env, found.size());
  for (uint32_t i = 0; i < found.size(); i++) {
    auto device = Napi::Object::New(env);
    device.Set("index", Napi::Number::New(env, i));
    device.Set("name", Napi::String::New(env, found[i].name));
    device.Set("capability", Napi::String::New(env, found[i].capability));
    device.Set("memory", Napi::Number::New(env, found[i].memory));
    device.Set("driver", Napi::String::New(env, found[i].driver));
    out.Set(i, device);
  }
  return out;
}

}  // namespace

void register_bindings(Napi::Env env, Napi::Object exports, AddonData& data) {
  auto add = [&](const char* name, Napi::Function constructor, Napi::FunctionReference& reference) {
    reference = Napi::Persistent(constructor);
    exports.Set(name, constructor);
  };
  add("Engine", EngineWrap::define(env), data.engine);
  add("NamedTensors", NamedTensorsWrap::define(env), data.named_tensors);
  add("RowStore", RowStoreWrap::define(env), data.row_store);
  add("Program", ProgramWrap::define(env), data.program);
  exports.Set("opNames", Napi::Function::New(env, op_list));
  exports.Set("buildInfo", Napi::Function::New(env, build_info));
  exports.Set("cudaDevices", Napi::Function::New(env, devices));
}

}  // namespace mnv2
