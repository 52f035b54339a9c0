// See engine_class.h.
#include "napi/engine_class.h"

#include "device/allocator.h"
#include "device/device.h"

#ifdef MNV2_CUDA
#include "state/resident_cuda.h"
#endif

namespace mnv2 {

Napi::Function EngineClass::define(Napi::Env env) {
  using C = EngineClass;
  return DefineClass(
      env, "Engine",
      {InstanceAccessor("device", &C::get_device, nullptr), InstanceAccessor("threads", &C::get_threads, nullptr),
       InstanceMethod("ping", &C::ping), InstanceMethod("memory", &C::memory), InstanceMethod("dispose", &C::dispose)});
}

EngineClass::EngineClass(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineClass>(info) {
  guarded(info.Env(), [&] {
    tag<EngineClass>(info);
    const auto options = object_from(info[0], "Engine", "{ device, threads }");
    const auto name = text_from(options.Get("device"), "Engine: device");
    if (name != "cpu" && name.rfind("cuda", 0) != 0) refuse("Engine: device", "cpu or cuda:n, got '" + name + "'");
    device = at::Device(name);
    threads_ = static_cast<int>(whole_from(options.Get("threads"), "Engine: threads", 1, 1024));
    install_cpu_allocator();  // before the first tensor, whichever thread makes it
    engine = Engine::create(info.Env(), info.Env().GetInstanceData<AddonData>()->engines,
                            [device = device, threads = threads_] { start_engine_thread(device, threads); });
  });
}

Napi::Value EngineClass::get_device(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), device.str());
}
Napi::Value EngineClass::get_threads(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), threads_); }
Napi::Value EngineClass::ping(const Napi::CallbackInfo& info) { return engine->submit(info.Env(), nothing); }

Napi::Value EngineClass::memory(const Napi::CallbackInfo& info) {
  return engine->submit(info.Env(), [device = device]() -> Settle {
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

void EngineClass::dispose(const Napi::CallbackInfo&) { engine->close(); }

}  // namespace mnv2
