// Registration only.
#include <napi.h>

#include <memory>

#include "napi/engine_class.h"
#include "napi/functions.h"
#include "napi/image_store_class.h"
#include "napi/named_tensors_class.h"
#include "napi/process_group_class.h"
#include "napi/program_class.h"
#include "napi/row_store_class.h"
#include "napi/script_module_class.h"

static void stop_engines(const Napi::CallbackInfo& info) {
  info.Env().GetInstanceData<mnv2::AddonData>()->engines.stop();
}

/**
 * Ends a process.exit() or an uncaught exception as an environment's end would: neither runs cleanup hooks, and C's
 * exit() destroys libtorch's statics, many of them made later than anything of ours, under threads that compute.
 * process.reallyExit, which process.exit() and packages in its place call, emits no event: it is wrapped.
 */
static void stop_engines_on_exit(Napi::Env env) {
  auto process = env.Global().Get("process").As<Napi::Object>();
  process.Get("prependListener")
      .As<Napi::Function>()
      .Call(process, {Napi::String::New(env, "exit"), Napi::Function::New(env, stop_engines, "stopEngines")});
  const auto original = process.Get("reallyExit");
  if (!original.IsFunction()) return;
  auto exit = std::make_shared<Napi::FunctionReference>(Napi::Persistent(original.As<Napi::Function>()));
  exit->SuppressDestruct();  // called while the environment ends
  process.Set("reallyExit", Napi::Function::New(
                                env,
                                [exit](const Napi::CallbackInfo& info) {
                                  stop_engines(info);
                                  return exit->Call(info.This(), {info[0]});
                                },
                                "reallyExit"));
}

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new mnv2::AddonData());
  exports.Set("Engine", mnv2::EngineClass::define(env));
  exports.Set("NamedTensors", mnv2::NamedTensorsClass::define(env));
  exports.Set("RowStore", mnv2::RowStoreClass::define(env));
  exports.Set("Program", mnv2::ProgramClass::define(env));
  exports.Set("ImageStore", mnv2::ImageStoreClass::define(env));
  exports.Set("ProcessGroup", mnv2::ProcessGroupClass::define(env));
  exports.Set("ScriptModule", mnv2::ScriptModuleClass::define(env));
  mnv2::export_facts(env, exports);
  mnv2::export_jpeg_check(env, exports);
  mnv2::export_timers(env, exports);
  mnv2::export_resample(env, exports);
  mnv2::export_torchscript(env, exports);
  stop_engines_on_exit(env);
  return exports;
}

NODE_API_MODULE(mnv2_torch, init)
