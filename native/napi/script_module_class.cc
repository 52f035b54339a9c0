// See script_module_class.h. Queued jobs hold the module themselves: dispose() never pulls it from under one.
#include "napi/script_module_class.h"

#include "napi/convert.h"
#include "napi/engine_class.h"

namespace mnv2 {

Napi::Function ScriptModuleClass::define(Napi::Env env) {
  using C = ScriptModuleClass;
  return DefineClass(env, "ScriptModule", {InstanceMethod("run", &C::run), InstanceMethod("dispose", &C::dispose)});
}

ScriptModuleClass::ScriptModuleClass(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ScriptModuleClass>(info) {
  guarded(info.Env(), [&] {
    tag<ScriptModuleClass>(info);
    engine_ = unwrapped<EngineClass>(info[0], "ScriptModule: engine").engine;
    const auto bytes = bytes_from(info[1], "ScriptModule: bytes");
    core_ =
        std::make_shared<ScriptModule>(std::string(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength()));
  });
}

Napi::Value ScriptModuleClass::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    alive(core_, "ScriptModule");
    return engine_->submit(info.Env(), [core = core_, input = tensor_from(info[0], "ScriptModule: input")]() -> Settle {
      const auto output = host_form(core->forward(input));
      return [output](Napi::Env env) -> Napi::Value { return tensor_to(env, output); };
    });
  });
}

void ScriptModuleClass::dispose(const Napi::CallbackInfo&) { core_.reset(); }

}  // namespace mnv2
