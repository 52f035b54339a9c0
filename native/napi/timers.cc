// timeDepthwise(engine, work), timeCopy(engine, work): single operations timed on an engine's device, for the bench.
#include "exec/timing.h"
#include "napi/convert.h"
#include "napi/engine_class.h"
#include "napi/functions.h"

namespace mnv2 {
namespace {

Napi::Value depthwise_times(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto& of = unwrapped<EngineClass>(info[0], "timeDepthwise: engine");
    const auto work = object_from(info[1], "timeDepthwise: work");
    const auto shape = integers_from(work.Get("shape"), "timeDepthwise: shape", 1);
    if (shape.size() != 4) refuse("timeDepthwise: shape", "[N, C, H, W]", work.Get("shape"));
    const DepthwiseCase c{of.device,
                          dtype_from(work.Get("dtype"), "timeDepthwise: dtype"),
                          text_from(work.Get("route"), "timeDepthwise: route"),
                          shape[0],
                          shape[1],
                          shape[2],
                          shape[3],
                          whole_from(work.Get("stride"), "timeDepthwise: stride", 1)};
    const int samples = static_cast<int>(whole_from(work.Get("samples"), "timeDepthwise: samples", 1, 1000000));
    return of.engine->submit(info.Env(), [c, samples]() -> Settle {
      const auto times = time_depthwise(c, samples);
      return [times](Napi::Env env) -> Napi::Value {
        auto out = Napi::Object::New(env);
        out.Set("forward", numbers_to(env, times.forward));
        out.Set("inputGradient", numbers_to(env, times.input_gradient));
        out.Set("weightGradient", numbers_to(env, times.weight_gradient));
        out.Set("captured", Napi::Boolean::New(env, times.captured));
        return out;
      };
    });
  });
}

Napi::Value copy_times(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto& of = unwrapped<EngineClass>(info[0], "timeCopy: engine");
    const auto work = object_from(info[1], "timeCopy: work");
    const int64_t bytes = whole_from(work.Get("bytes"), "timeCopy: bytes", 1);
    const int samples = static_cast<int>(whole_from(work.Get("samples"), "timeCopy: samples", 1, 1000000));
    return of.engine->submit(info.Env(), [device = of.device, bytes, samples]() -> Settle {
      const auto times = time_copy(device, bytes, samples);
      return [times](Napi::Env env) -> Napi::Value { return numbers_to(env, times); };
    });
  });
}

}  // namespace

void export_timers(Napi::Env env, Napi::Object exports) {
  exports.Set("timeDepthwise", Napi::Function::New(env, depthwise_times, "timeDepthwise"));
  exports.Set("timeCopy", Napi::Function::New(env, copy_times, "timeCopy"));
}

}  // namespace mnv2
