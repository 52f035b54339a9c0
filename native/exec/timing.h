// Times single operations on a device, for `bench depthwise`. No N-API here.
#pragma once
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>
#include <vector>

namespace mnv2 {

struct DepthwiseCase {
  at::Device device;
  at::ScalarType dtype;        // float or bfloat16
  std::string route;           // of depthwiseConv2d
  int64_t N, C, H, W, stride;  // 3 x 3, one pixel of padding
};

/** Seconds of one operation in each of the samples taken. */
struct DepthwiseTimes {
  std::vector<double> forward, input_gradient, weight_gradient;
  bool captured = true;  // as CUDA graphs: none of the host's time is in them
};

/** On channels_last tensors of random numbers. Each sample repeats the operation for some milliseconds. */
DepthwiseTimes time_depthwise(const DepthwiseCase& work, int samples);

/** Copies `bytes` from one place of the device to another: twice as many bytes move. */
std::vector<double> time_copy(at::Device device, int64_t bytes, int samples);

}  // namespace mnv2
