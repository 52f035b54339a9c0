// From images of a store to a batch: gathered, augmented, normalised, mixed. One way for training, evaluation, caching
// and answering single questions. Free of torch and of N-API.
#pragma once
#include <optional>
#include <vector>

#include "data/image_store.h"
#include "data/mix.h"
#include "kernels/loops.h"

namespace mnv2 {

/** What is done to an image on its way into a batch. */
struct ImageRecipe {
  Preprocess preprocess{};
  std::optional<Augment> augment;
  uint64_t seed = 0, epoch = 0;  // of the augmentation's draws
  int symmetry = 0;              // where nothing is augmented: see symmetry()

  /** What becomes of image `index` of a store; nothing: it is only normalised. */
  std::optional<AugmentDraw> draw(const ImageStore& store, int64_t index) const;
  bool moves() const { return augment || symmetry != 0; }
};

/**
 * Images order[0 .. count) of the store as [count, height, width, channels] floats, which are the memory of a
 * channels_last [N, C, H, W] tensor. What becomes of an image depends on its number, not on its place in the batch;
 * then neighbours are mixed as `mixed` says, one a row, or none.
 */
void load_batch(const ImageStore& store, const ImageRecipe& recipe, const int32_t* order, int64_t count,
                const std::vector<MixDraw>& mixed, float* out, const Parallel& parallel);

}  // namespace mnv2
