// See device.h. CUDA facts come from device_cuda.cc when it is compiled in.
#include "device/device.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/grad_mode.h>
#include <torch/version.h>

#include "device/allocator.h"

#ifdef MNV2_CUDA
#include "device/device_cuda.h"
#endif

namespace mnv2 {

#define MNV2_TEXT_(x) #x
#define MNV2_TEXT(x) MNV2_TEXT_(x)

/** What the library loaded, which need not be the one the headers came from, says of itself after `key`. */
static std::string configured(const std::string& key) {
  const auto config = at::show_config();
  const auto start = config.find(key);
  if (start == std::string::npos) return "unknown";
  const auto from = start + key.size();
  return config.substr(from, config.find_first_of(", \n", from) - from);
}

BuildFacts build_facts() {
  BuildFacts b;
  b.libtorch = TORCH_VERSION;
  b.libtorch_runtime = configured("TORCH_VERSION=");
#if defined(__clang__)
  b.compiler = "clang " __clang_version__;
#elif defined(__GNUC__)
  b.compiler = "gcc " __VERSION__;
#else
  b.compiler = "unknown";
#endif
  b.cxx_standard = static_cast<int>(__cplusplus / 100 % 100);
#ifdef MNV2_CUDA
  b.cuda = MNV2_CUDA_VERSION;
  b.cuda_archs = MNV2_CUDA_ARCHS;
#endif
  b.cpu_capability = configured("CPU capability usage: ");
#if defined(__x86_64__) && defined(__GNUC__)
  b.bf16 = __builtin_cpu_supports("avx512bf16");
#endif
  return b;
}

#ifndef MNV2_CUDA
std::vector<CudaDevice> cuda_devices() { return {}; }
#endif

DeviceMemory device_memory(at::Device device) {
#ifdef MNV2_CUDA
  if (device.is_cuda()) {
    return cuda_memory(device);
  }
#endif
  (void)device;
  const auto m = cpu_memory();
  return {m.allocated, m.reserved, m.peak};
}

void synchronize(at::Device device) {
#ifdef MNV2_CUDA
  if (device.is_cuda()) cuda_synchronize();
#endif
  (void)device;
}

/**
 * NNPACK would take a few float32 convolutions that oneDNN leaves, and on processors it does not know it warns on
 * stderr at each of them. Versions of libtorch without the switch keep it.
 */
template <class Context>
static auto without_nnpack(Context& context, int) -> decltype(context.setUserEnabledNNPACK(false)) {
  context.setUserEnabledNNPACK(false);
}
template <class Context>
static void without_nnpack(Context&, long) {}

void start_engine_thread(at::Device device, int threads) {
  at::set_num_threads(threads);
  at::GradMode::set_enabled(false);
  without_nnpack(at::globalContext(), 0);
#ifdef MNV2_CUDA
  if (device.is_cuda()) enter_cuda_device(device);
#else
  (void)device;
#endif
}

}  // namespace mnv2
