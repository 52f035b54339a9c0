// DeviceImages: an image store's pixels on the device as uint8, and the batches made of them there. Each engine's
// thread keeps its own: its stream orders every upload before every read.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "data/batch.h"

namespace mnv2 {

class DeviceImages {
 public:
  /**
   * This thread's copy of a store: the one it has, or an empty one, which takes each image when a batch first needs it
   * (images of a store still being decoded are asked for only once they are there). A store that does not fit beside
   * what else lives on the device pushes out copies no loop holds, the longest unused first; where that is not enough,
   * each batch's images are sent anew.
   */
  static std::shared_ptr<DeviceImages> of(const std::shared_ptr<ImageStore>& store, at::Device device);
  /** Frees the copies of stores that are no more; `of` does the same. The rest goes with the thread. */
  static void sweep();

  DeviceImages(const std::shared_ptr<ImageStore>& store, at::Device device);

  /**
   * Rows order[0 .. count) of the store as load_batch makes them, [N, C, H, W] in channels_last. `index`: the same
   * numbers on the device. `type`: float32 or bfloat16. Written into `into` where that is such a batch.
   */
  at::Tensor batch(const ImageStore& store, const int32_t* order, const at::Tensor& index, const ImageRecipe& recipe,
                   const std::vector<MixDraw>& mixed, at::ScalarType type, const at::Tensor& into);

  static constexpr int64_t kMost = 65535;  // images of one batch: blocks in y

 private:
  void reserve();

  const std::weak_ptr<ImageStore> store_;
  const at::Device device_;
  const int64_t count_, image_bytes_;
  at::Tensor pixels_;          // [count * image_bytes], undefined while it does not fit
  std::vector<int64_t> sent_;  // of each row, the version that is here; -1: none
};

}  // namespace mnv2
