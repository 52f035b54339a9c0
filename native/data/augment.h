// What is done to an image on its way into a batch: flips, turns, crops, warps, colours, normalisation, erasing. Free
// of torch and N-API.
#pragma once
#include <cstdint>

namespace mnv2 {

/** out = pixel * scale[c] + shift[c], pixel in 0..255. */
struct Preprocess {
  float scale[4];
  float shift[4];
};

/** What may happen to an image; the defaults are the identity. Units: lib/data/augment.ts. */
struct Augment {
  enum class Flips { none, horizontal, both };
  Flips flips = Flips::none;
  bool turns = false;
  float crop_min = 1, crop_max = 1;  // area
  float ratio_min = 0.75f, ratio_max = 4 / 3.0f;
  float scale_min = 1, scale_max = 1;
  float translate = 0;
  float rotate_deg = 0;
  float brightness = 0, contrast = 0, saturation = 0;
  float erase = 0;
};

/** One image's share of an Augment. */
struct AugmentDraw {
  /** output pixel (x, y) reads the source at (m0*x + m1*y + m2, m3*x + m4*y + m5); pixel centres are whole numbers */
  float matrix[6];
  /** factors, applied in this order; 1 is none */
  float brightness, contrast, saturation;
  /** the rectangle of the output that is erased, pixels; without a width there is none */
  int erase_x, erase_y, erase_width, erase_height;
};

/** Depends on its arguments alone, and no setting's draw on whether another is on. */
AugmentDraw draw(const Augment& augment, int height, int width, uint64_t seed, uint64_t epoch, int64_t index);

/**
 * One of the eight symmetries of the square, 0 (as it is) to 7: mirrored left-right where it is odd, then symmetry / 2
 * quarter turns.
 */
AugmentDraw symmetry(int which, int height, int width);

/**
 * One image [height, width, channels] as floats, that is one row of a channels_last batch; 1 to 4 channels. Where the
 * draw is only flips and quarter turns, pixels move without interpolation; else bilinear, mirrored at the borders. Then
 * brightness, contrast (about the image's mean grey) and saturation (about each pixel's grey), a clamp to [0, 255], and
 * the preprocessing. What is erased is 0 after it. Without a draw, the preprocessing alone.
 */
void load_image(const uint8_t* in, int height, int width, int channels, const Preprocess& preprocess,
                const AugmentDraw* draw, float* out);

}  // namespace mnv2
