// NamedTensors as JavaScript sees them: weights, and the state of a program.
#pragma once
#include "napi/support.h"
#include "state/named_tensors.h"

namespace mnv2 {

class NamedTensorsClass : public Napi::ObjectWrap<NamedTensorsClass> {
 public:
  static constexpr napi_type_tag kTag = {0x6d6e76322d746f72ull, 0x63682d7765696768ull};
  static constexpr const char* kName = "an instance of Weights or the state of a program";
  static Napi::Function define(Napi::Env env);
  /** `new NamedTensors(engine)`: an empty set that takes any names. */
  explicit NamedTensorsClass(const Napi::CallbackInfo& info);

  /** A new JavaScript object that stands for tensors there are already. */
  static Napi::Object object_of(Napi::Env env, std::shared_ptr<NamedTensors> core, std::shared_ptr<Engine> engine);
  /** Throws Failure USAGE when `value` is something else, DISPOSED when it is no more. */
  static NamedTensorsClass& of(const Napi::Value& value, const std::string& what);

  std::shared_ptr<NamedTensors> core;  // empty once disposed
  std::shared_ptr<Engine> engine;

 private:
  struct Existing {
    std::shared_ptr<NamedTensors> core;
    std::shared_ptr<Engine> engine;
  };
  Napi::Value set(const Napi::CallbackInfo& info);
  Napi::Value get(const Napi::CallbackInfo& info);
  Napi::Value names(const Napi::CallbackInfo& info);
  Napi::Value copy_from(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
};

}  // namespace mnv2
