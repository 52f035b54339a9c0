// Registration only.
#include <napi.h>

#include "napi/binding.h"
#include "napi/images.h"

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new mnv2::AddonData();
  env.SetInstanceData(data);
  mnv2::register_bindings(env, exports, *data);
  mnv2::register_images(env, exports);
  return exports;
}

NODE_API_MODULE(mnv2_torch, init)
