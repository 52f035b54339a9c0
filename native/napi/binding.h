// The N-API classes over engine, weights, row stores and programs. Registered by addon.cc.
#pragma once
#include <napi.h>

#include "napi/engine.h"

namespace mnv2 {

/** Per environment, so that worker threads and repeated loads do not meet. */
struct AddonData {
  Napi::FunctionReference engine, named_tensors, row_store, program;
  Engines engines;
};

void register_bindings(Napi::Env env, Napi::Object exports, AddonData& data);

}  // namespace mnv2
