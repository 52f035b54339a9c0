// What every wrapped class needs: guarded calls, our own objects told from others, and checked reading of arguments.
// Refusals are Failure USAGE and say what was expected, under the name the caller knows it by, and what came.
#pragma once
#include <napi.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "errors.h"
#include "napi/engine.h"

namespace mnv2 {

/** Per environment, so that worker threads and repeated loads do not meet. */
struct AddonData {
  Engines engines;
  Napi::FunctionReference named_tensors;   // the class
  const void* existing_tensors = nullptr;  // see NamedTensorsClass::object_of
};

/** Runs `body`, turning native failures into JavaScript exceptions. */
template <class Body>
auto guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, current_failure());
  }
}

template <class T>
const std::shared_ptr<T>& alive(const std::shared_ptr<T>& core, const char* what) {
  if (!core) throw Failure("DISPOSED", std::string("this ") + what + " was disposed; it cannot be used any more");
  return core;
}

/** A value as a message shows it. Runs no JavaScript of the value's own. */
std::string shown(const Napi::Value& value);
[[noreturn]] void refuse(const std::string& what, const std::string& expected);
[[noreturn]] void refuse(const std::string& what, const std::string& expected, const Napi::Value& came);

/** Marks an object as ours in its constructor: a prototype can be borrowed, a tag cannot. `W` has kTag and kName. */
template <class W>
void tag(const Napi::CallbackInfo& info) {
  info.This().As<Napi::Object>().TypeTag(&W::kTag);
}
template <class W>
W& unwrapped(const Napi::Value& value, const std::string& what) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&W::kTag)) refuse(what, W::kName, value);
  return *W::Unwrap(value.As<Napi::Object>());
}

Napi::Object object_from(const Napi::Value& value, const std::string& what, const std::string& expected = "an object");
/** Names of an object's own properties. */
std::vector<std::string> keys_of(const Napi::Object& object);

double number_from(const Napi::Value& value, const std::string& what);
/** A whole number within [least, most]. */
int64_t whole_from(const Napi::Value& value, const std::string& what, int64_t least, int64_t most = 9007199254740991);
std::string text_from(const Napi::Value& value, const std::string& what);
std::vector<int64_t> integers_from(const Napi::Value& value, const std::string& what, int64_t least);
std::vector<std::string> strings_from(const Napi::Value& value, const std::string& what);

/** In memory of their own: what is shared with another thread may change while it is read. */
Napi::Uint8Array bytes_from(const Napi::Value& value, const std::string& what);

Napi::Array list_to(Napi::Env env, const std::vector<std::string>& texts);
Napi::Float64Array numbers_to(Napi::Env env, const std::vector<double>& numbers);
Settle nothing();

}  // namespace mnv2
