// ImageStore as JavaScript sees it, and the readers of its options for other bindings. The store itself is images.h.
#pragma once
#include <napi.h>

#include <memory>

#include "data/images.h"

namespace mnv2 {

void register_images(Napi::Env env, Napi::Object exports);

/** Throw Failure USAGE (or DISPOSED) when the value is something else. */
std::shared_ptr<ImageStore> image_store_from(const Napi::Value& value);
Augment augment_from(const Napi::Value& value);
/** {scale: number[], shift: number[]}; a list shorter than four repeats its last number. */
Preprocess preprocess_from(const Napi::Value& value);

}  // namespace mnv2
