// See named_tensors_class.h. Queued jobs hold the store themselves: dispose() never pulls it from under one.
#include "napi/named_tensors_class.h"

#include "napi/convert.h"
#include "napi/engine_class.h"

namespace mnv2 {
namespace {
constexpr const char* kCalled = "set of named tensors";
}

Napi::Function NamedTensorsClass::define(Napi::Env env) {
  using C = NamedTensorsClass;
  auto constructor =
      DefineClass(env, "NamedTensors",
                  {InstanceMethod("set", &C::set), InstanceMethod("get", &C::get), InstanceMethod("names", &C::names),
                   InstanceMethod("copyFrom", &C::copy_from), InstanceMethod("dispose", &C::dispose)});
  env.GetInstanceData<AddonData>()->named_tensors = Napi::Persistent(constructor);
  return constructor;
}

NamedTensorsClass::NamedTensorsClass(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NamedTensorsClass>(info) {
  guarded(info.Env(), [&] {
    tag<NamedTensorsClass>(info);
    // An External is anybody's until its address is the one `object_of` has just given.
    const void* const existing = info.Env().GetInstanceData<AddonData>()->existing_tensors;
    if (existing && info[0].IsExternal() && info[0].As<Napi::External<void>>().Data() == existing) {
      const auto* of = static_cast<const Existing*>(existing);
      core = of->core;
      engine = of->engine;
      return;
    }
    const auto& of = unwrapped<EngineClass>(info[0], "NamedTensors: engine");
    engine = of.engine;
    core = std::make_shared<NamedTensors>(of.device);
  });
}

Napi::Object NamedTensorsClass::object_of(Napi::Env env, std::shared_ptr<NamedTensors> core,
                                          std::shared_ptr<Engine> engine) {
  auto& data = *env.GetInstanceData<AddonData>();
  Existing existing{std::move(core), std::move(engine)};
  struct Given {
    const void*& slot;
    ~Given() { slot = nullptr; }
  } given{data.existing_tensors = &existing};
  return data.named_tensors.New({Napi::External<void>::New(env, &existing)});
}

NamedTensorsClass& NamedTensorsClass::of(const Napi::Value& value, const std::string& what) {
  auto& named = unwrapped<NamedTensorsClass>(value, what);
  alive(named.core, kCalled);
  return named;
}

Napi::Value NamedTensorsClass::set(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    alive(core, kCalled);
    if (!info[0].IsArray()) refuse("NamedTensors.set", "a list of { name, data, shape, dtype }", info[0]);
    const auto list = info[0].As<Napi::Array>();
    std::vector<std::pair<std::string, at::Tensor>> entries;
    for (uint32_t i = 0; i < list.Length(); i++) {
      const auto what = "NamedTensors.set: entry " + std::to_string(i);
      const auto entry = object_from(list.Get(i), what, "{ name, data, shape, dtype }");
      const auto name = text_from(entry.Get("name"), what + ".name");
      entries.emplace_back(name, tensor_from(entry, name));
    }
    return engine->submit(info.Env(), [core = core, entries = std::move(entries)]() -> Settle {
      for (const auto& [name, value] : entries) core->set(name, value);
      return nothing();
    });
  });
}

Napi::Value NamedTensorsClass::get(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    alive(core, kCalled);
    return engine->submit(info.Env(),
                          [core = core, names = strings_from(info[0], "NamedTensors.get: names")]() -> Settle {
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

Napi::Value NamedTensorsClass::copy_from(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    alive(core, kCalled);
    const auto& from = of(info[0], "copyFrom");
    if (from.engine != engine) throw Failure("USAGE", "copyFrom: the tensors belong to another engine");
    return engine->submit(info.Env(), [core = core, from = from.core]() -> Settle {
      core->copy_from(*from);
      return nothing();
    });
  });
}

Napi::Value NamedTensorsClass::names(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value { return list_to(info.Env(), alive(core, kCalled)->names()); });
}

void NamedTensorsClass::dispose(const Napi::CallbackInfo&) { core.reset(); }

}  // namespace mnv2
