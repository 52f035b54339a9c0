// Mixing of neighbours within a batch: MixUp (Zhang et al. 2018) and CutMix (Yun et al. 2019). Free of torch and N-API.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/loops.h"

namespace mnv2 {

/** Alphas of the Beta laws the shares are drawn from; 0: off. With both, an image takes either with probability 1/2. */
struct Mix {
  float mixup = 0, cutmix = 0;
  bool on() const { return mixup > 0 || cutmix > 0; }
};

/** What becomes of one image of a batch. Its partner is the next one, and the last one's the first. */
struct MixDraw {
  /** its share of the mixture, 0 to 1: with a rectangle exactly the share of the pixels that stay its own */
  float own;
  /** the rectangle, in pixels, that shows the partner; without a width all pixels are blended */
  int x, y, width, height;
};

/**
 * A draw for each of `count` images of height x width in step `step`, dependent on its arguments alone; none for a
 * single image, which stays as it is. Every image has its own share and its own rectangle.
 */
std::vector<MixDraw> draw_mix(const Mix& mix, int64_t count, int height, int width, uint64_t seed, uint64_t step);

/** Mixes a batch [draws, height, width, channels] in place. */
void mix_images(float* batch, int64_t height, int64_t width, int64_t channels, const std::vector<MixDraw>& draws,
                const Parallel& parallel);

}  // namespace mnv2
