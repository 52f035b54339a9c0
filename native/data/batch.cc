// See batch.h.
#include "data/batch.h"

namespace mnv2 {

void load_batch(const ImageStore& store, const ImageRecipe& recipe, const int32_t* order, int64_t count, float* out,
                const Parallel& parallel) {
  const Augment* augment = recipe.augment ? &*recipe.augment : nullptr;
  const int64_t size = store.image_bytes();  // a byte becomes a float
  parallel(count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      store.load(order[i], recipe.preprocess, augment, recipe.seed, recipe.epoch, out + i * size);
  });
}

}  // namespace mnv2
