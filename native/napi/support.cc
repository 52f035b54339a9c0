// See support.h.
#include "napi/support.h"

#include <algorithm>
#include <cmath>

namespace mnv2 {

std::string shown(const Napi::Value& value) {
  if (value.IsEmpty() || value.IsUndefined()) return "undefined";
  if (value.IsString()) return "'" + value.As<Napi::String>().Utf8Value() + "'";
  if (value.IsFunction()) return "a function";
  if (value.IsArray()) return "a list of " + std::to_string(value.As<Napi::Array>().Length());
  if (value.IsTypedArray()) return "a typed array of " + std::to_string(value.As<Napi::TypedArray>().ElementLength());
  if (value.IsObject()) return "an object";
  if (value.IsSymbol()) return "a symbol";
  return value.ToString().Utf8Value();
}

void refuse(const std::string& what, const std::string& expected) {
  throw Failure("USAGE", what + ": expected " + expected);
}
void refuse(const std::string& what, const std::string& expected, const Napi::Value& came) {
  refuse(what, expected + ", got " + shown(came));
}

Napi::Object object_from(const Napi::Value& value, const std::string& what, const std::string& expected) {
  if (!value.IsObject() || value.IsFunction() || value.IsArray()) refuse(what, expected, value);
  return value.As<Napi::Object>();
}

std::vector<std::string> keys_of(const Napi::Object& object) {
  const auto names = object.GetPropertyNames();
  std::vector<std::string> keys;
  for (uint32_t i = 0; i < names.Length(); i++) keys.push_back(names.Get(i).ToString().Utf8Value());
  return keys;
}

double number_from(const Napi::Value& value, const std::string& what) {
  if (!value.IsNumber() || !std::isfinite(value.As<Napi::Number>().DoubleValue())) refuse(what, "a number", value);
  return value.As<Napi::Number>().DoubleValue();
}

int64_t whole_from(const Napi::Value& value, const std::string& what, int64_t least, int64_t most) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most) && number == std::floor(number))) {
    const bool open = most == 9007199254740991;
    refuse(what,
           "a whole number " + (open ? "of at least " + std::to_string(least)
                                     : "from " + std::to_string(least) + " to " + std::to_string(most)),
           value);
  }
  return static_cast<int64_t>(number);
}

std::string text_from(const Napi::Value& value, const std::string& what) {
  if (!value.IsString()) refuse(what, "a string", value);
  return value.As<Napi::String>().Utf8Value();
}

std::vector<int64_t> integers_from(const Napi::Value& value, const std::string& what, int64_t least) {
  if (!value.IsArray()) refuse(what, "a list of whole numbers", value);
  const auto array = value.As<Napi::Array>();
  std::vector<int64_t> list;
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(whole_from(array.Get(i), what, least));
  return list;
}

std::vector<std::string> strings_from(const Napi::Value& value, const std::string& what) {
  if (!value.IsArray()) refuse(what, "a list of names", value);
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> list;
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(text_from(array.Get(i), what));
  return list;
}

Napi::Uint8Array bytes_from(const Napi::Value& value, const std::string& what) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    refuse(what, "a Uint8Array", value);
  if (!value.As<Napi::Object>().Get("buffer").IsArrayBuffer())
    refuse(what, "memory of its own; copy what lies in a SharedArrayBuffer first");
  return value.As<Napi::Uint8Array>();
}

Napi::Array list_to(Napi::Env env, const std::vector<std::string>& texts) {
  auto out = Napi::Array::New(env, texts.size());
  for (uint32_t i = 0; i < texts.size(); i++) out.Set(i, Napi::String::New(env, texts[i]));
  return out;
}

Napi::Float64Array numbers_to(Napi::Env env, const std::vector<double>& numbers) {
  auto out = Napi::Float64Array::New(env, numbers.size());
  std::copy(numbers.begin(), numbers.end(), out.Data());
  return out;
}

Settle nothing() {
  return [](Napi::Env env) { return env.Undefined(); };
}

}  // namespace mnv2
