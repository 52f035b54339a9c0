// See row_store_class.h. Queued jobs hold the store themselves: dispose() never pulls it from under one.
#include "napi/row_store_class.h"

#include "napi/convert.h"
#include "napi/engine_class.h"

namespace mnv2 {

Napi::Function RowStoreClass::define(Napi::Env env) {
  using C = RowStoreClass;
  return DefineClass(
      env, "RowStore",
      {InstanceAccessor("rows", &C::get_rows, nullptr), InstanceAccessor("bytes", &C::get_bytes, nullptr),
       InstanceMethod("set", &C::set), InstanceMethod("get", &C::get), InstanceMethod("dispose", &C::dispose)});
}

RowStoreClass::RowStoreClass(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RowStoreClass>(info) {
  guarded(info.Env(), [&] {
    tag<RowStoreClass>(info);
    const auto& of = unwrapped<EngineClass>(info[0], "RowStore: engine");
    engine = of.engine;
    const auto options = object_from(info[1], "RowStore", "{ rows, shape, dtype }");
    core = std::make_shared<RowStore>(whole_from(options.Get("rows"), "RowStore: rows", 0),
                                      integers_from(options.Get("shape"), "RowStore: shape", 0),
                                      dtype_from(options.Get("dtype"), "RowStore: dtype"), of.device);
  });
}

Napi::Value RowStoreClass::get_rows(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), alive(core, "RowStore")->values.size(0)); });
}
Napi::Value RowStoreClass::get_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), alive(core, "RowStore")->values.nbytes()); });
}

Napi::Value RowStoreClass::set(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto& held = alive(core, "RowStore")->values;
    auto values = tensor_from(info[0], held.sizes().vec(), held.scalar_type(), "RowStore");
    return engine->submit(info.Env(), [core = core, values]() -> Settle {
      core->set(values);
      return nothing();
    });
  });
}

Napi::Value RowStoreClass::get(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int64_t rows = alive(core, "RowStore")->values.size(0);
    const int64_t start = whole_from(info[0], "RowStore.get: start", 0),
                  count = whole_from(info[1], "RowStore.get: count", 0);
    if (start + count > rows) {
      throw Failure("USAGE", "RowStore.get: expected rows within [0, " + std::to_string(rows) + "), got " +
                                 std::to_string(start) + " to " + std::to_string(start + count));
    }
    return engine->submit(info.Env(), [core = core, start, count]() -> Settle {
      auto values = host_form(core->values.slice(0, start, start + count));
      return [values](Napi::Env env) -> Napi::Value { return tensor_to(env, values); };
    });
  });
}

void RowStoreClass::dispose(const Napi::CallbackInfo&) { core.reset(); }

}  // namespace mnv2
