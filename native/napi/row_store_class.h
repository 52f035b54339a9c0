// RowStore as JavaScript sees it.
#pragma once
#include "exec/program.h"
#include "napi/support.h"

namespace mnv2 {

class RowStoreClass : public Napi::ObjectWrap<RowStoreClass> {
 public:
  static constexpr napi_type_tag kTag = {0x6d6e76322d746f72ull, 0x63682d726f777374ull};
  static constexpr const char* kName = "an instance of RowStore";
  static Napi::Function define(Napi::Env env);
  explicit RowStoreClass(const Napi::CallbackInfo& info);

  std::shared_ptr<RowStore> core;  // empty once disposed
  std::shared_ptr<Engine> engine;

 private:
  Napi::Value get_rows(const Napi::CallbackInfo& info);
  Napi::Value get_bytes(const Napi::CallbackInfo& info);
  Napi::Value set(const Napi::CallbackInfo& info);
  Napi::Value get(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
};

}  // namespace mnv2
