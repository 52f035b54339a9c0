// See cuda_device.h and device.h.
#include "device/device_cuda.h"

#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

namespace mnv2 {

std::vector<CudaDevice> cuda_devices() {
  int count = 0, driver = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();  // no driver, or one too old: there are no devices, and no error to leave behind
    return {};
  }
  cudaDriverGetVersion(&driver);
  std::vector<CudaDevice> found;
  for (int i = 0; i < count; i++) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    CudaDevice device;
    device.name = properties.name;
    device.capability = std::to_string(properties.major) + "." + std::to_string(properties.minor);
    device.driver = std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10);
    device.memory = static_cast<double>(properties.totalGlobalMem);
    found.push_back(device);
  }
  return found;
}

DeviceMemory cuda_memory(at::Device device) {
  using namespace c10::cuda::CUDACachingAllocator;
  const auto stats = getDeviceStats(device.index());
  const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return {static_cast<double>(stats.allocated_bytes[all].current),
          static_cast<double>(stats.reserved_bytes[all].current), static_cast<double>(stats.allocated_bytes[all].peak)};
}

void cuda_synchronize() { c10::cuda::getCurrentCUDAStream().synchronize(); }

void enter_cuda_device(at::Device device) {
  at::globalContext().lazyInitDevice(device.type());
  c10::cuda::set_device(device.index());
  c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index()));
  at::globalContext().setBenchmarkCuDNN(true);  // shapes repeat for a whole training
}

}  // namespace mnv2
