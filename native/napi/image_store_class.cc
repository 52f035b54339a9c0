// See image_store_class.h.
#include "napi/image_store_class.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace mnv2 {
namespace {

void numbers_into(const Napi::Object& object, const char* key, float* into) {
  const auto value = object.Get(key);
  const auto what = std::string("preprocessing: ") + key;
  const uint32_t length = value.IsArray() ? value.As<Napi::Array>().Length() : 0;
  if (length < 1 || length > 4) refuse(what, "a list of 1 to 4 numbers", value);
  for (uint32_t i = 0; i < 4; i++)
    into[i] = static_cast<float>(number_from(value.As<Napi::Array>().Get(std::min(i, length - 1)), what));
}

}  // namespace

Napi::Function ImageStoreClass::define(Napi::Env env) {
  using C = ImageStoreClass;
  return DefineClass(
      env, "ImageStore",
      {InstanceAccessor("count", &C::count, nullptr), InstanceAccessor("height", &C::height, nullptr),
       InstanceAccessor("width", &C::width, nullptr), InstanceAccessor("channels", &C::channels, nullptr),
       InstanceMethod("put", &C::put), InstanceMethod("get", &C::get), InstanceMethod("hash", &C::hash),
       InstanceMethod("equal", &C::equal), InstanceMethod("load", &C::load), InstanceMethod("dispose", &C::dispose)});
}

ImageStoreClass::ImageStoreClass(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ImageStoreClass>(info) {
  guarded(info.Env(), [&] {
    tag<ImageStoreClass>(info);
    const auto o = object_from(info[0], "ImageStore", "{ count, height, width, channels, file?, create?, update? }");
    auto side = [&](const char* key) {
      return static_cast<int>(whole_from(o.Get(key), std::string("ImageStore: ") + key, 1, 65536));
    };
    const int64_t count = whole_from(o.Get("count"), "ImageStore: count", 1);
    const int height = side("height"), width = side("width"), channels = side("channels");
    if (const auto file = o.Get("file"); !file.IsUndefined()) {
      const auto access = o.Get("create").ToBoolean()   ? ImageStore::Access::kCreate
                          : o.Get("update").ToBoolean() ? ImageStore::Access::kUpdate
                                                        : ImageStore::Access::kRead;
      core = ImageStore::map_file(text_from(file, "ImageStore: file"), count, height, width, channels, access);
    } else {
      core = ImageStore::in_memory(count, height, width, channels);
      // Tells the garbage collector what a forgotten store costs.
      reported_ = core->count() * core->image_bytes();
      Napi::MemoryManagement::AdjustExternalMemory(info.Env(), reported_);
    }
  });
}

void ImageStoreClass::forget(Napi::Env env) {
  core.reset();
  if (reported_) Napi::MemoryManagement::AdjustExternalMemory(env, -reported_);
  reported_ = 0;
}

template <class Get>
Napi::Value ImageStoreClass::fact(const Napi::CallbackInfo& info, Get get) {
  return guarded(info.Env(),
                 [&] { return Napi::Number::New(info.Env(), static_cast<double>(get(*alive(core, "ImageStore")))); });
}
Napi::Value ImageStoreClass::count(const Napi::CallbackInfo& info) {
  return fact(info, [](const ImageStore& s) { return s.count(); });
}
Napi::Value ImageStoreClass::height(const Napi::CallbackInfo& info) {
  return fact(info, [](const ImageStore& s) { return s.height(); });
}
Napi::Value ImageStoreClass::width(const Napi::CallbackInfo& info) {
  return fact(info, [](const ImageStore& s) { return s.width(); });
}
Napi::Value ImageStoreClass::channels(const Napi::CallbackInfo& info) {
  return fact(info, [](const ImageStore& s) { return s.channels(); });
}

int64_t ImageStoreClass::index_from(const Napi::Value& value) const {
  return whole_from(value, "ImageStore: image number", 0, alive(core, "ImageStore")->count() - 1);
}

Napi::Value ImageStoreClass::put(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const int64_t index = index_from(info[0]);
    const auto pixels = bytes_from(info[1], "ImageStore.put: pixels");
    if (static_cast<int64_t>(pixels.ElementLength()) != core->image_bytes()) {
      refuse("ImageStore.put", std::to_string(core->image_bytes()) + " bytes [" + std::to_string(core->height()) +
                                   ", " + std::to_string(core->width()) + ", " + std::to_string(core->channels()) +
                                   "], got " + std::to_string(pixels.ElementLength()));
    }
    core->put(index, pixels.Data());
    return info.Env().Undefined();
  });
}

Napi::Value ImageStoreClass::get(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const int64_t index = index_from(info[0]);
    auto pixels = Napi::Uint8Array::New(info.Env(), core->image_bytes());
    std::memcpy(pixels.Data(), core->at(index), core->image_bytes());
    return pixels;
  });
}

Napi::Value ImageStoreClass::hash(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const int64_t index = index_from(info[0]);
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(core->hash(index)));
    return Napi::String::New(info.Env(), text);
  });
}

Napi::Value ImageStoreClass::equal(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const int64_t a = index_from(info[0]), b = index_from(info[1]);
    return Napi::Boolean::New(info.Env(), core->equal(a, b));
  });
}

Napi::Value ImageStoreClass::load(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const int64_t index = index_from(info[0]);
    const auto o = object_from(info[1], "ImageStore.load", "{ scale, shift, augment?, symmetry?, seed, epoch }");
    const auto recipe = recipe_from(o, *core, "ImageStore.load");
    const auto draw = recipe.draw(*core, index);
    auto out = Napi::Float32Array::New(info.Env(), core->image_bytes());
    core->load(index, recipe.preprocess, draw ? &*draw : nullptr, out.Data());
    return out;
  });
}

void ImageStoreClass::dispose(const Napi::CallbackInfo& info) { forget(info.Env()); }

std::shared_ptr<ImageStore> image_store_from(const Napi::Value& value, const std::string& what) {
  return alive(unwrapped<ImageStoreClass>(value, what).core, "ImageStore");
}

namespace {

Augment augment_from(const Napi::Value& value) {
  const auto o = object_from(value, "augment", "an object of settings");
  auto number = [&](const char* key) {
    return static_cast<float>(number_from(o.Get(key), std::string("augment: ") + key));
  };
  Augment a;
  const auto flips = text_from(o.Get("flips"), "augment: flips");
  if (flips != "none" && flips != "horizontal" && flips != "both")
    throw Failure("USAGE", "augment: expected flips as none, horizontal or both, got '" + flips + "'");
  a.flips = flips == "both"         ? Augment::Flips::both
            : flips == "horizontal" ? Augment::Flips::horizontal
                                    : Augment::Flips::none;
  a.turns = o.Get("turns").ToBoolean();
  a.crop_min = number("cropMin"), a.crop_max = number("cropMax");
  a.ratio_min = number("ratioMin"), a.ratio_max = number("ratioMax");
  a.erase = number("erase");
  a.scale_min = number("scaleMin"), a.scale_max = number("scaleMax");
  a.translate = number("translate");
  a.rotate_deg = number("rotateDegrees");
  a.brightness = number("brightness"), a.contrast = number("contrast"), a.saturation = number("saturation");
  if (!(a.scale_min > 0 && a.scale_min <= a.scale_max && a.scale_max <= 8)) {
    throw Failure("USAGE", "augment: expected 0 < scaleMin <= scaleMax <= 8, got " + std::to_string(a.scale_min) +
                               " and " + std::to_string(a.scale_max));
  }
  if (!(a.crop_min > 0 && a.crop_min <= a.crop_max && a.crop_max <= 1)) {
    throw Failure("USAGE", "augment: expected 0 < cropMin <= cropMax <= 1, got " + std::to_string(a.crop_min) +
                               " and " + std::to_string(a.crop_max));
  }
  if (!(a.ratio_min > 0 && a.ratio_min <= a.ratio_max && std::isfinite(a.ratio_max))) {
    throw Failure("USAGE", "augment: expected 0 < ratioMin <= ratioMax, got " + std::to_string(a.ratio_min) + " and " +
                               std::to_string(a.ratio_max));
  }
  for (float v : {a.translate, a.brightness, a.contrast, a.saturation, a.erase}) {
    if (!(v >= 0 && v <= 1))
      throw Failure("USAGE",
                    "augment: expected translate, brightness, contrast, saturation and erase from 0 to 1, got " +
                        std::to_string(v));
  }
  if (!(a.rotate_deg >= 0 && a.rotate_deg <= 180))
    throw Failure("USAGE", "augment: expected rotateDegrees from 0 to 180, got " + std::to_string(a.rotate_deg));
  return a;
}

}  // namespace

ImageRecipe recipe_from(const Napi::Object& from, const ImageStore& store, const std::string& what) {
  ImageRecipe r;
  numbers_into(from, "scale", r.preprocess.scale);
  numbers_into(from, "shift", r.preprocess.shift);
  if (const auto augment = from.Get("augment"); !augment.IsUndefined()) r.augment = augment_from(augment);
  if (const auto which = from.Get("symmetry"); !which.IsUndefined())
    r.symmetry = static_cast<int>(whole_from(which, what + ".symmetry", 0, 7));
  if (r.symmetry & 2 && store.height() != store.width())
    throw Failure("USAGE", what + ".symmetry: expected square images to turn by a quarter");
  r.seed = whole_from(from.Get("seed"), what + ".seed", 0);
  r.epoch = whole_from(from.Get("epoch"), what + ".epoch", 0);
  return r;
}

}  // namespace mnv2
