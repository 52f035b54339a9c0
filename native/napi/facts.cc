// What the addon says of itself and of the machine: buildInfo(), cudaDevices(), opNames().
#include "device/device.h"
#include "exec/steps/fused_convolution.h"
#include "graph/ops.h"
#include "kernels/quantised.h"
#include "napi/functions.h"
#include "napi/support.h"

namespace mnv2 {
namespace {

Napi::Value op_list(const Napi::CallbackInfo& info) { return list_to(info.Env(), op_names()); }

Napi::Value build_info(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto b = build_facts();
  auto out = Napi::Object::New(env);
  out.Set("package", Napi::String::New(env, MNV2_VERSION));
  out.Set("libtorch", Napi::String::New(env, b.libtorch));
  out.Set("libtorchRuntime", Napi::String::New(env, b.libtorch_runtime));
  out.Set("compiler", Napi::String::New(env, b.compiler));
  out.Set("cxxStandard", Napi::Number::New(env, b.cxx_standard));
  out.Set("cuda", b.cuda.empty() ? env.Null() : Napi::Value(Napi::String::New(env, b.cuda)));
  out.Set("cudaArchs", Napi::String::New(env, b.cuda_archs));
  out.Set("cpuCapability", Napi::String::New(env, b.cpu_capability));
  out.Set("mkldnn", Napi::Boolean::New(env, fused_convolution_available()));
  out.Set("bf16", Napi::Boolean::New(env, b.bf16));
  out.Set("int8", Napi::String::New(env, quantised_paths().front()));
  return out;
}

Napi::Value devices(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto found = cuda_devices();
  auto out = Napi::Array::New(env, found.size());
  for (uint32_t i = 0; i < found.size(); i++) {
    auto device = Napi::Object::New(env);
    device.Set("index", Napi::Number::New(env, i));
    device.Set("name", Napi::String::New(env, found[i].name));
    device.Set("capability", Napi::String::New(env, found[i].capability));
    device.Set("memory", Napi::Number::New(env, found[i].memory));
    device.Set("driver", Napi::String::New(env, found[i].driver));
    out.Set(i, device);
  }
  return out;
}

}  // namespace

void export_facts(Napi::Env env, Napi::Object exports) {
  exports.Set("opNames", Napi::Function::New(env, op_list, "opNames"));
  exports.Set("buildInfo", Napi::Function::New(env, build_info, "buildInfo"));
  exports.Set("cudaDevices", Napi::Function::New(env, devices, "cudaDevices"));
}

}  // namespace mnv2
