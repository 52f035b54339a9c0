// See program_class.h. Queued jobs hold the program themselves: dispose() never pulls it from under one.
#include "napi/program_class.h"

#include <atomic>

#include "napi/convert.h"
#include "napi/engine_class.h"
#include "napi/loop_spec.h"
#include "napi/named_tensors_class.h"

namespace mnv2 {
namespace {

Napi::Object result_to(Napi::Env env, const LoopResult& result, const std::vector<std::string>& stack_names,
                       const std::vector<std::string>& row_names) {
  auto out = Napi::Object::New(env);
  out.Set("steps", Napi::Number::New(env, result.steps));
  out.Set("examples", Napi::Number::New(env, result.examples));
  out.Set("stopped", Napi::Boolean::New(env, result.stopped));
  out.Set("diverged", Napi::Number::New(env, result.diverged));
  out.Set("seconds", Napi::Number::New(env, result.seconds));
  out.Set("cudaGraph", Napi::String::New(env, result.cuda_graph));
  auto stack = Napi::Object::New(env), rows = Napi::Object::New(env);
  for (size_t i = 0; i < stack_names.size(); i++) stack.Set(stack_names[i], numbers_to(env, result.stack[i]));
  for (size_t i = 0; i < result.rows.size(); i++) rows.Set(row_names[i], tensor_to(env, result.rows[i]));
  out.Set("stack", stack);
  out.Set("rows", rows);
  return out;
}

}  // namespace

Napi::Function ProgramClass::define(Napi::Env env) {
  using C = ProgramClass;
  return DefineClass(env, "Program",
                     {InstanceAccessor("state", &C::state, nullptr), InstanceMethod("run", &C::run),
                      InstanceMethod("loop", &C::loop), InstanceMethod("plan", &C::plan),
                      InstanceMethod("cudaGraph", &C::cuda_graph), InstanceMethod("dispose", &C::dispose)});
}

ProgramClass::ProgramClass(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProgramClass>(info) {
  guarded(info.Env(), [&] {
    engine_ = unwrapped<EngineClass>(info[0], "compile: engine").engine;
    const auto& weights = NamedTensorsClass::of(info[1], "compile: weights");
    if (weights.engine != engine_) throw Failure("USAGE", "compile: the weights belong to another engine");
    auto graph = graph_from(info[2]);
    link(graph);
    core_ = std::make_shared<ProgramCore>(std::move(graph), weights.core);
  });
}

Napi::Value ProgramClass::state(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return NamedTensorsClass::object_of(info.Env(), alive(core_, "Program")->state(), engine_);
  });
}

std::vector<std::string> ProgramClass::names_from(const Napi::Value& fetch) const {
  return fetch.IsEmpty() || fetch.IsUndefined() ? core_->graph.outputs : strings_from(fetch, "fetch");
}

std::vector<int> ProgramClass::nodes_of(const std::vector<std::string>& names) const {
  std::vector<int> nodes;
  for (const auto& name : names) nodes.push_back(core_->node_named(name));
  return nodes;
}

Napi::Value ProgramClass::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    alive(core_, "Program");
    const auto given = object_from(info[0], "run: feeds", "{ data, shape, dtype } by input name");
    const auto o = object_from(info[1], "run: options");
    Feeds feeds;
    for (const auto& name : keys_of(given)) feeds[name] = tensor_from(given.Get(name), "run: input '" + name + "'");
    RunOptions options;
    auto keys = names_from(o.Get("fetch"));
    options.fetch = nodes_of(keys);
    const auto lr = o.Get("lr"), step = o.Get("step"), seed = o.Get("seed");
    if (!lr.IsUndefined()) options.lr = number_from(lr, "run: lr");
    if (!step.IsUndefined()) options.step = whole_from(step, "run: step", 0);
    if (!seed.IsUndefined()) options.seed = whole_from(seed, "run: seed", 0);
    return engine_->submit(
        info.Env(),
        [core = core_, feeds = std::move(feeds), options = std::move(options), keys = std::move(keys)]() -> Settle {
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

Napi::Value ProgramClass::loop(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    alive(core_, "Program");
    const auto env = info.Env();
    auto named = loop_from(info[0], *core_);
    auto cancelled = std::make_shared<std::atomic<bool>>(false);
    Progress progress;
    std::shared_ptr<Napi::FunctionReference> callback;  // kept by the job as well, so that it dies where it may
    if (info[1].IsFunction()) {
      callback = std::make_shared<Napi::FunctionReference>(Napi::Persistent(info[1].As<Napi::Function>()));
      progress = [callback, to = engine_.get()](int64_t step, const std::vector<double>& sums) {
        to->notify([callback, step, sums](Napi::Env env) {
          callback->Call({Napi::Number::New(env, static_cast<double>(step)), numbers_to(env, sums)});
        });
      };
    } else if (!info[1].IsUndefined()) {
      refuse("loop: onProgress", "a function", info[1]);
    }
    auto promise = engine_->submit(
        env,
        [core = core_, to = engine_.get(), named = std::move(named), progress = std::move(progress),
         cancelled]() -> Settle {
          auto stop = [&] { return *cancelled || to->stopping(); };
          auto result = std::make_shared<LoopResult>(core->loop(named.spec, stop, progress));
          for (auto& rows : result->rows) rows = host_form(rows);
          return [result, stack = named.stack, rows = named.rows](Napi::Env env) -> Napi::Value {
            return result_to(env, *result, stack, rows);
          };
        },
        callback);
    auto handle = Napi::Object::New(env);
    handle.Set("promise", promise);
    handle.Set("cancel", Napi::Function::New(env, [cancelled](const Napi::CallbackInfo&) { *cancelled = true; }));
    return handle;
  });
}

Napi::Value ProgramClass::plan(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    alive(core_, "Program");
    return list_to(info.Env(), core_->describe_plan(nodes_of(names_from(info[0]))));
  });
}

Napi::Value ProgramClass::cuda_graph(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return engine_->submit(info.Env(), [core = alive(core_, "Program")]() -> Settle {
      return [text = core->cuda_graph()](Napi::Env env) -> Napi::Value { return Napi::String::New(env, text); };
    });
  });
}

void ProgramClass::dispose(const Napi::CallbackInfo&) { core_.reset(); }

}  // namespace mnv2
