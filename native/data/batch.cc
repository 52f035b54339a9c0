// See batch.h.
#include "data/batch.h"

namespace mnv2 {

std::optional<AugmentDraw> ImageRecipe::draw(const ImageStore& store, int64_t index) const {
  if (augment) return mnv2::draw(*augment, store.height(), store.width(), seed, epoch, index);
  if (symmetry != 0) return mnv2::symmetry(symmetry, store.height(), store.width());
  return std::nullopt;
}

void load_batch(const ImageStore& store, const ImageRecipe& recipe, const int32_t* order, int64_t count,
                const std::vector<MixDraw>& mixed, float* out, const Parallel& parallel) {
  const int64_t size = store.image_bytes();  // a byte becomes a float
  parallel(count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const auto draw = recipe.draw(store, order[i]);
      store.load(order[i], recipe.preprocess, draw ? &*draw : nullptr, out + i * size);
    }
  });
  if (!mixed.empty()) mix_images(out, store.height(), store.width(), store.channels(), mixed, parallel);
}

}  // namespace mnv2
