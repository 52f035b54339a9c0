// The packed uint8 image store and what is done to an image on its way into a batch: augmentation, normalisation.
// Free of torch and of N-API; decoding is TypeScript's (lib/data).
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mnv2 {

/** out = pixel * scale[c] + shift[c], pixel in 0..255. */
struct Preprocess {
  float scale[4];
  float shift[4];
};

/** What may happen to an image; the defaults are the identity. Units: lib/data/augment.ts. */
struct Augment {
  bool flips = false, turns = false;
  float scale_min = 1, scale_max = 1;
  float translate = 0;
  float rotate_deg = 0;
  float brightness = 0, contrast = 0, saturation = 0;
};

/** One image's share of an Augment. */
struct AugmentDraw {
  /** output pixel (x, y) reads the source at (m0*x + m1*y + m2, m3*x + m4*y + m5); pixel centres are whole numbers */
  float matrix[6];
  /** factors, applied in this order; 1 is none */
  float brightness, contrast, saturation;
};

/** Depends on its arguments alone, and no setting's draw on whether another is on. */
AugmentDraw draw(const Augment& augment, int height, int width, uint64_t seed, uint64_t epoch, int64_t index);

/**
 * Resamples RGB [height, width, 3] to [size, size, 3] by a triangle filter, widened when shrinking: with Pillow's
 * fixed-point weights and order (across, then down), so that models trained on Pillow's bilinear see the same bytes.
 */
void resample_rgb(const uint8_t* in, int height, int width, uint8_t* out, int size);

class ImageStore {  // [count, height, width, channels] uint8
 public:
  static std::shared_ptr<ImageStore> in_memory(int64_t count, int height, int width, int channels);
  /**
   * `create`: makes (or overwrites) the file, zero-filled and with its disk space reserved, and writes go to it.
   * Otherwise the file must have the right size, and writes stay private to this store.
   */
  static std::shared_ptr<ImageStore> map_file(const std::string& path, int64_t count, int height, int width,
                                              int channels, bool create);
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

  /**
   * One image as float [height, width, channels], that is one row of a channels_last batch. Several threads may
   * load at once. Where the draw is only flips and quarter turns, pixels move without interpolation; else bilinear,
   * mirrored at the borders. Then brightness, contrast (about the image's mean grey) and saturation (about each
   * pixel's grey), a clamp to [0, 255], and the preprocessing.
   */
  void load(int64_t index, const Preprocess& preprocess, const Augment* augment, uint64_t seed, uint64_t epoch,
            float* out) const;

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
