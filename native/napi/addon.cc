// Registration only.
#include <napi.h>

#include "napi/binding.h"
#include "napi/images.h"
#include "napi/jpeg_check.h"

/** Ends a process.exit() or an uncaught exception as an environment's end would: neither runs cleanup hooks. */
static void stop_engines_on_exit(Napi::Env env) {
  auto stop = [](const Napi::CallbackInfo& info) { info.Env().GetInstanceData<mnv2::AddonData>()->engines.stop(); };
  auto process = env.Global().Get("process").As<Napi::Object>();
  process.Get("prependListener")
      .As<Napi::Function>()
      .Call(process, {Napi::String::New(env, "exit"), Napi::Function::New(env, stop, "stopEngines")});
}

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new mnv2::AddonData();
  env.SetInstanceData(data);
  mnv2::register_bindings(env, exports, *data);
  mnv2::register_images(env, exports);
  mnv2::register_jpeg_check(env, exports);
  stop_engines_on_exit(env);
  return exports;
}

NODE_API_MODULE(mnv2_torch, init)
