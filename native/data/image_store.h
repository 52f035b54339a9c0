// The packed uint8 image store, in memory or in a mapped file. Free of torch and of N-API; decoding is TypeScript's.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/augment.h"

namespace mnv2 {

class ImageStore {  // [count, height, width, channels] uint8
 public:
  static std::shared_ptr<ImageStore> in_memory(int64_t count, int height, int width, int channels);
  /**
   * `kCreate` makes (or overwrites) the file, zero-filled and with its disk space reserved, and writes go to it.
   * `kUpdate`: they go to a file that is there and holds at least as much. `kRead`: the file has exactly the right
   * size, and writes stay private to this store.
   */
  enum class Access { kRead, kCreate, kUpdate };
  static std::shared_ptr<ImageStore> map_file(const std::string& path, int64_t count, int height, int width,
                                              int channels, Access access);
  ~ImageStore();
  ImageStore(const ImageStore&) = delete;
  ImageStore& operator=(const ImageStore&) = delete;

  int64_t count() const { return count_; }
  int height() const { return height_; }
  int width() const { return width_; }
  int channels() const { return channels_; }
  int64_t image_bytes() const { return image_bytes_; }
  bool mapped() const { return mapped_; }

  uint8_t* at(int64_t index) { return bytes_ + index * image_bytes_; }
  const uint8_t* at(int64_t index) const { return bytes_ + index * image_bytes_; }

  void put(int64_t index, const uint8_t* pixels);
  /** Changes with every put: copies made elsewhere know whether they are still right. */
  int64_t version(int64_t index) const { return versions_[index].load(std::memory_order_acquire); }

  /** Not cryptographic: finds candidates for equal(). */
  uint64_t hash(int64_t index) const;
  bool equal(int64_t a, int64_t b) const;

  /** One image as load_image makes it of a draw, which may be null. Several threads may load at once. */
  void load(int64_t index, const Preprocess& preprocess, const AugmentDraw* draw, float* out) const;

 private:
  ImageStore(int64_t count, int height, int width, int channels);

  int64_t count_;
  int height_, width_, channels_;
  int64_t image_bytes_;
  uint8_t* bytes_ = nullptr;
  std::vector<std::atomic<uint32_t>> versions_;
  bool mapped_ = false;
};

}  // namespace mnv2
