// Facts about CUDA devices and their memory. Compiled only with a CUDA libtorch.
#pragma once
#include "device/device.h"

namespace mnv2 {

DeviceMemory cuda_memory(at::Device device);
void cuda_synchronize();
/** Makes `device` current on this thread, on a stream of its own: graphs cannot be captured on the default stream. */
void enter_cuda_device(at::Device device);

}  // namespace mnv2
