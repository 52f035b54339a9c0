// What is done to an image on its way into a batch: flips, turns, warps, colours, normalisation. Free of torch and
// N-API.
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
 * One image [height, width, channels] as floats, that is one row of a channels_last batch; 1 to 4 channels. Where the
 * draw is only flips and quarter turns, pixels move without interpolation; else bilinear, mirrored at the borders. Then
 * brightness, contrast (about the image's mean grey) and saturation (about each pixel's grey), a clamp to [0, 255], and
 * the preprocessing. Without a draw, the preprocessing alone.
 */
void load_image(const uint8_t* in, int height, int width, int channels, const Preprocess& preprocess,
                const AugmentDraw* draw, float* out);

}  // namespace mnv2
