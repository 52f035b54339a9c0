// Facts about the build and the devices, and what a new engine thread must set. Owns nothing.
#pragma once
#include <c10/core/Device.h>

#include <string>
#include <vector>

namespace mnv2 {

struct BuildFacts {
  std::string libtorch, libtorch_runtime, compiler, cuda, cuda_archs, cpu_capability;
  int cxx_standard = 17;
  bool bf16 = false;
};
BuildFacts build_facts();

struct CudaDevice {
  std::string name, capability, driver;
  double memory = 0;  // bytes
};
/** Empty where there is no CUDA build or no usable driver. */
std::vector<CudaDevice> cuda_devices();

struct DeviceMemory {
  double allocated = 0, reserved = 0, peak = 0;  // bytes
};
DeviceMemory device_memory(at::Device device);
/** Returns when everything this thread has queued on the device is done. */
void synchronize(at::Device device);

/** Once, at the start of an engine's thread: its device, its threads, no gradients unless asked. */
void start_engine_thread(at::Device device, int threads);

}  // namespace mnv2
