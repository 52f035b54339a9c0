// Images in another size, as Pillow makes them. Free of torch and of N-API.
#pragma once
#include <cstdint>

namespace mnv2 {

/**
 * Resamples RGB [height, width, 3] to [size, size, 3] by a triangle filter, widened when shrinking: with Pillow's
 * fixed-point weights and order (across, then down), so that models trained on Pillow's bilinear see the same bytes.
 */
void resample_rgb(const uint8_t* in, int height, int width, uint8_t* out, int size);

}  // namespace mnv2
