// ImageStore as JavaScript sees it, and the readers of its options for other classes. The store itself is
// data/image_store.
#pragma once
#include "data/batch.h"
#include "napi/support.h"

namespace mnv2 {

class ImageStoreClass : public Napi::ObjectWrap<ImageStoreClass> {
 public:
  static constexpr napi_type_tag kTag = {0x6d6e76322d746f72ull, 0x63682d696d616765ull};
  static constexpr const char* kName = "an instance of ImageStore";
  static Napi::Function define(Napi::Env env);
  explicit ImageStoreClass(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override { forget(env); }

  std::shared_ptr<ImageStore> core;  // empty once disposed

 private:
  template <class Get>
  Napi::Value fact(const Napi::CallbackInfo& info, Get get);
  Napi::Value count(const Napi::CallbackInfo& info);
  Napi::Value height(const Napi::CallbackInfo& info);
  Napi::Value width(const Napi::CallbackInfo& info);
  Napi::Value channels(const Napi::CallbackInfo& info);
  Napi::Value put(const Napi::CallbackInfo& info);
  Napi::Value get(const Napi::CallbackInfo& info);
  Napi::Value hash(const Napi::CallbackInfo& info);
  Napi::Value equal(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  int64_t index_from(const Napi::Value& value) const;
  void forget(Napi::Env env);

  int64_t reported_ = 0;  // bytes the garbage collector was told of
};

/** These throw Failure USAGE (or DISPOSED) when the value is something else. */
std::shared_ptr<ImageStore> image_store_from(const Napi::Value& value, const std::string& what);
/** {scale: number[], shift: number[], augment?, symmetry?, seed, epoch}; short lists repeat their last number. */
ImageRecipe recipe_from(const Napi::Object& from, const ImageStore& store, const std::string& what);

}  // namespace mnv2
