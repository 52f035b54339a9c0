// jpegDamage() for JavaScript. What it does is data/jpeg_check.h.
#pragma once
#include <napi.h>

namespace mnv2 {

void register_jpeg_check(Napi::Env env, Napi::Object exports);

}  // namespace mnv2
