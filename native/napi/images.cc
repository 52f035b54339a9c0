// See images_napi.h.
#include "napi/images.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "napi/engine.h"
#include "errors.h"

namespace mnv2 {
namespace {

// Marks our own objects: a foreign `this` or a plain object must be refused, not unwrapped.
constexpr napi_type_tag kTag = {0x6d6e76322d746f72ull, 0x63682d696d616765ull};

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

std::string shown(const Napi::Value& value) { return value.IsEmpty() ? "nothing" : value.ToString().Utf8Value(); }

double number_in(const Napi::Object& object, const char* key, const char* what) {
  auto value = object.Get(key);
  if (!value.IsNumber() || !std::isfinite(value.As<Napi::Number>().DoubleValue())) {
    throw Failure("USAGE", std::string(what) + ": expected " + key + " as a number, got " + shown(value));
  }
  return value.As<Napi::Number>().DoubleValue();
}

int64_t whole_in(const Napi::Object& object, const char* key, const char* what) {
  const double number = number_in(object, key, what);
  if (number != std::floor(number) || std::fabs(number) > 9007199254740991.0) {
    throw Failure("USAGE",
                  std::string(what) + ": expected " + key + " as a whole number, got " + shown(object.Get(key)));
  }
  return static_cast<int64_t>(number);
}

int side_in(const Napi::Object& object, const char* key) {
  const int64_t side = whole_in(object, key, "ImageStore");
  if (side < 1 || side > 65536)
    throw Failure("USAGE",
                  std::string("ImageStore: expected ") + key + " from 1 to 65536, got " + std::to_string(side));
  return static_cast<int>(side);
}

class ImageStoreWrap : public Napi::ObjectWrap<ImageStoreWrap> {
 public:
  std::shared_ptr<ImageStore> core;

  static Napi::Function define(Napi::Env env) {
    using W = ImageStoreWrap;
    return DefineClass(
        env, "ImageStore",
        {InstanceAccessor("count", &W::count, nullptr), InstanceAccessor("height", &W::height, nullptr),
         InstanceAccessor("width", &W::width, nullptr), InstanceAccessor("channels", &W::channels, nullptr),
         InstanceMethod("put", &W::put), InstanceMethod("get", &W::get), InstanceMethod("hash", &W::hash),
         InstanceMethod("equal", &W::equal), InstanceMethod("load", &W::load), InstanceMethod("dispose", &W::dispose)});
  }

  explicit ImageStoreWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ImageStoreWrap>(info) {
    guarded(info.Env(), [&] {
      info.This().As<Napi::Object>().TypeTag(&kTag);
      if (!info[0].IsObject())
        throw Failure("USAGE", "ImageStore: expected { count, height, width, channels, file?, create? }");
      auto o = info[0].As<Napi::Object>();
      const int64_t count = whole_in(o, "count", "ImageStore");
      const int height = side_in(o, "height"), width = side_in(o, "width"), channels = side_in(o, "channels");
      if (o.Get("file").IsString()) {
        core = ImageStore::map_file(o.Get("file").As<Napi::String>(), count, height, width, channels,
                                    o.Get("create").ToBoolean());
      } else {
        core = ImageStore::in_memory(count, height, width, channels);
        // Tells the garbage collector what a forgotten store costs.
        reported_ = core->count() * core->image_bytes();
        Napi::MemoryManagement::AdjustExternalMemory(info.Env(), reported_);
      }
    });
  }

  void Finalize(Napi::Env env) override { forget(env); }

  const std::shared_ptr<ImageStore>& alive() const {
    if (!core) throw Failure("DISPOSED", "this ImageStore was disposed; it cannot be used any more");
    return core;
  }

 private:
  int64_t reported_ = 0;

  void forget(Napi::Env env) {
    core.reset();
    if (reported_) Napi::MemoryManagement::AdjustExternalMemory(env, -reported_);
    reported_ = 0;
  }

  template <class Get>
  Napi::Value fact(const Napi::CallbackInfo& info, Get get) {
    return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(get(*alive()))); });
  }
  Napi::Value count(const Napi::CallbackInfo& info) {
    return fact(info, [](const ImageStore& s) { return s.count(); });
  }
  Napi::Value height(const Napi::CallbackInfo& info) {
    return fact(info, [](const ImageStore& s) { return s.height(); });
  }
  Napi::Value width(const Napi::CallbackInfo& info) {
    return fact(info, [](const ImageStore& s) { return s.width(); });
  }
  Napi::Value channels(const Napi::CallbackInfo& info) {
    return fact(info, [](const ImageStore& s) { return s.channels(); });
  }

  int64_t index_in(const Napi::Value& value) const {
    const double index = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
    if (!(index >= 0 && index < static_cast<double>(alive()->count()) && index == std::floor(index))) {
      throw Failure("USAGE", "ImageStore: expected an image number from 0 to " + std::to_string(core->count() - 1) +
                                 ", got " + shown(value));
    }
    return static_cast<int64_t>(index);
  }

  Napi::Value put(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const int64_t index = index_in(info[0]);
      if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
        throw Failure("USAGE", "ImageStore.put: expected the pixels as a Uint8Array");
      }
      auto pixels = info[1].As<Napi::Uint8Array>();
      if (static_cast<int64_t>(pixels.ElementLength()) != core->image_bytes()) {
        throw Failure("USAGE", "ImageStore.put: expected " + std::to_string(core->image_bytes()) + " bytes [" +
                                   std::to_string(core->height()) + ", " + std::to_string(core->width()) + ", " +
                                   std::to_string(core->channels()) + "], got " +
                                   std::to_string(pixels.ElementLength()));
      }
      core->put(index, pixels.Data());
      return info.Env().Undefined();
    });
  }

  Napi::Value get(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const int64_t index = index_in(info[0]);
      auto pixels = Napi::Uint8Array::New(info.Env(), core->image_bytes());
      std::memcpy(pixels.Data(), core->at(index), core->image_bytes());
      return pixels;
    });
  }

  Napi::Value hash(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      char text[17];
      std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(core_hash(index_in(info[0]))));
      return Napi::String::New(info.Env(), text);
    });
  }
  uint64_t core_hash(int64_t index) const { return core->hash(index); }

  Napi::Value equal(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const int64_t a = index_in(info[0]), b = index_in(info[1]);
      return Napi::Boolean::New(info.Env(), core->equal(a, b));
    });
  }

  Napi::Value load(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const int64_t index = index_in(info[0]);
      if (!info[1].IsObject())
        throw Failure("USAGE", "ImageStore.load: expected { scale, shift, augment?, seed, epoch }");
      auto o = info[1].As<Napi::Object>();
      const auto preprocess = preprocess_from(o);
      Augment augment;
      const bool augmented = o.Get("augment").IsObject();
      if (augmented) augment = augment_from(o.Get("augment"));
      const auto seed = static_cast<uint64_t>(whole_in(o, "seed", "ImageStore.load")),
                 epoch = static_cast<uint64_t>(whole_in(o, "epoch", "ImageStore.load"));
      auto out = Napi::Float32Array::New(info.Env(), core->image_bytes());
      core->load(index, preprocess, augmented ? &augment : nullptr, seed, epoch, out.Data());
      return out;
    });
  }

  void dispose(const Napi::CallbackInfo& info) { forget(info.Env()); }
};

void numbers_into(const Napi::Object& object, const char* key, float* into) {
  auto value = object.Get(key);
  const uint32_t length = value.IsArray() ? value.As<Napi::Array>().Length() : 0;
  if (length < 1 || length > 4)
    throw Failure("USAGE",
                  std::string("preprocessing: expected ") + key + " as a list of 1 to 4 numbers, got " + shown(value));
  for (uint32_t i = 0; i < 4; i++) {
    auto number = value.As<Napi::Array>().Get(std::min(i, length - 1));
    if (!number.IsNumber())
      throw Failure("USAGE",
                    std::string("preprocessing: expected ") + key + " as a list of numbers, got " + shown(value));
    into[i] = number.As<Napi::Number>().FloatValue();
  }
}

/** Resamples on libuv's threads, where the decoder works too; the engine's thread stays with its programs. */
class Resampling : public Napi::AsyncWorker {
 public:
  Resampling(Napi::Env env, const Napi::Uint8Array& pixels, int height, int width, int size)
      : Napi::AsyncWorker(env, "mnv2.resample"),
        promise(Napi::Promise::Deferred::New(env)),
        held_(Napi::Persistent(pixels.As<Napi::Object>())),
        in_(pixels.Data()),
        height_(height),
        width_(width),
        size_(size) {
    // Made here, so that the worker thread writes straight into what the promise resolves to.
    auto result = Napi::Uint8Array::New(env, static_cast<size_t>(size) * size * 3);
    out_ = result.Data();
    result_ = Napi::Persistent(result.As<Napi::Object>());
  }
  void Execute() override { resample_rgb(in_, height_, width_, out_, size_); }
  void OnOK() override { promise.Resolve(result_.Value()); }
  void OnError(const Napi::Error& error) override { promise.Reject(error.Value()); }

  const Napi::Promise::Deferred promise;

 private:
  Napi::ObjectReference held_, result_;
  const uint8_t* in_;
  uint8_t* out_;
  int height_, width_, size_;
};

Napi::Value resample(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
      throw Failure("USAGE", "resample: expected the pixels as a Uint8Array");
    auto pixels = info[0].As<Napi::Uint8Array>();
    int sides[3];
    for (int i = 0; i < 3; i++) {
      const double side = info[i + 1].IsNumber() ? info[i + 1].As<Napi::Number>().DoubleValue() : 0;
      if (!(side >= 1 && side <= 65536 && side == std::floor(side)))
        throw Failure("USAGE", "resample: expected height, width and size from 1 to 65536, got " + shown(info[i + 1]));
      sides[i] = static_cast<int>(side);
    }
    const size_t expected = static_cast<size_t>(sides[0]) * sides[1] * 3;
    if (pixels.ElementLength() != expected) {
      throw Failure("USAGE", "resample: expected " + std::to_string(expected) + " bytes [" + std::to_string(sides[0]) +
                                 ", " + std::to_string(sides[1]) + ", 3], got " +
                                 std::to_string(pixels.ElementLength()));
    }
    auto* work = new Resampling(info.Env(), pixels, sides[0], sides[1], sides[2]);
    auto promise = work->promise.Promise();
    work->Queue();
    return promise;
  });
}

}  // namespace

void register_images(Napi::Env env, Napi::Object exports) {
  exports.Set("ImageStore", ImageStoreWrap::define(env));
  exports.Set("resample", Napi::Function::New(env, resample, "resample"));
}

std::shared_ptr<ImageStore> image_store_from(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag))
    throw Failure("USAGE", "expected an ImageStore, got " + shown(value));
  return ImageStoreWrap::Unwrap(value.As<Napi::Object>())->alive();
}

Augment augment_from(const Napi::Value& value) {
  if (!value.IsObject()) throw Failure("USAGE", "augment: expected an object of settings, got " + shown(value));
  auto o = value.As<Napi::Object>();
  auto number = [&](const char* key) { return static_cast<float>(number_in(o, key, "augment")); };
  Augment a;
  a.flips = o.Get("flips").ToBoolean();
  a.turns = o.Get("turns").ToBoolean();
  a.scale_min = number("scaleMin"), a.scale_max = number("scaleMax");
  a.translate = number("translate");
  a.rotate_deg = number("rotateDegrees");
  a.brightness = number("brightness"), a.contrast = number("contrast"), a.saturation = number("saturation");
  if (!(a.scale_min > 0 && a.scale_min <= a.scale_max && a.scale_max <= 8)) {
    throw Failure("USAGE", "augment: expected 0 < scaleMin <= scaleMax <= 8, got " + std::to_string(a.scale_min) +
                               " and " + std::to_string(a.scale_max));
  }
  for (float v : {a.translate, a.brightness, a.contrast, a.saturation}) {
    if (!(v >= 0 && v <= 1))
      throw Failure("USAGE", "augment: expected translate, brightness, contrast and saturation from 0 to 1, got " +
                                 std::to_string(v));
  }
  if (!(a.rotate_deg >= 0 && a.rotate_deg <= 180))
    throw Failure("USAGE", "augment: expected rotateDegrees from 0 to 180, got " + std::to_string(a.rotate_deg));
  return a;
}

Preprocess preprocess_from(const Napi::Value& value) {
  if (!value.IsObject()) throw Failure("USAGE", "preprocessing: expected { scale, shift }, got " + shown(value));
  Preprocess p;
  numbers_into(value.As<Napi::Object>(), "scale", p.scale);
  numbers_into(value.As<Napi::Object>(), "shift", p.shift);
  return p;
}

}  // namespace mnv2
