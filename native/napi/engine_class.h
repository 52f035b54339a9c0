// Engine as JavaScript sees it.
#pragma once
#include <c10/core/Device.h>

#include "napi/support.h"

namespace mnv2 {

class EngineClass : public Napi::ObjectWrap<EngineClass> {
 public:
  static constexpr napi_type_tag kTag = {0x6d6e76322d746f72ull, 0x63682d656e67696eull};
  static constexpr const char* kName = "an Engine";
  static Napi::Function define(Napi::Env env);
  explicit EngineClass(const Napi::CallbackInfo& info);

  std::shared_ptr<Engine> engine;
  at::Device device{at::kCPU};

 private:
  Napi::Value get_device(const Napi::CallbackInfo& info);
  Napi::Value get_threads(const Napi::CallbackInfo& info);
  Napi::Value ping(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  int threads_ = 1;
};

}  // namespace mnv2
