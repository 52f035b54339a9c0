// ScriptModule as JavaScript sees it: a TorchScript file of ours, to be tried.
#pragma once
#include "export/torchscript.h"
#include "napi/support.h"

namespace mnv2 {

class ScriptModuleClass : public Napi::ObjectWrap<ScriptModuleClass> {
 public:
  static constexpr napi_type_tag kTag = {0x6d6e76322d746f72ull, 0x63682d7363726970ull};
  static constexpr const char* kName = "a ScriptModule";
  static Napi::Function define(Napi::Env env);
  explicit ScriptModuleClass(const Napi::CallbackInfo& info);

 private:
  Napi::Value run(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<ScriptModule> core_;
};

}  // namespace mnv2
