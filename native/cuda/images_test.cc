// Holds images.cu, run block by block on emulated_grid.h, to load_batch, the CPU's version of the
// same. Not for a card.
#include "data/batch.h"

#include "kernels/testing.h"
#include "cuda/kernels.h"

using namespace mnv2;
using namespace mnv2::testing;

namespace {

void serially(int64_t n, const std::function<void(int64_t, int64_t)>& body) { body(0, n); }

template <class T>
void check(Report& report, const char* what, int channels, int height, int width, const ImageRecipe& given,
           const Mix& mix = {}) {
  const auto type = sizeof(T) == 4 ? cuda::Type::float32 : cuda::Type::bfloat16;
  const int64_t count = 7, batch = 6, size = int64_t(height) * width * channels;
  const auto store = ImageStore::in_memory(count, height, width, channels);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < size; ++j)  // smooth, so that a coordinate's last bit does not show, with some texture
      store->at(i)[j] = uint8_t(128 + 100 * std::sin(0.05 * double(j / channels % width) + double(i)) +
                                20 * std::cos(0.07 * double(j / channels / width) + double(j % channels)));
  ImageRecipe recipe = given;
  recipe.preprocess = {{0.02f, 0.017f, 0.03f, 0.01f}, {-2, -1.5f, -1, 0.5f}};
  recipe.seed = 11, recipe.epoch = 3;
  std::vector<int64_t> indices;
  std::vector<int32_t> order;
  std::vector<AugmentDraw> draws;
  for (int64_t b = 0; b < batch; ++b) {
    order.push_back(int32_t(rng()() % count));
    indices.push_back(order.back());
    if (recipe.moves()) draws.push_back(*recipe.draw(*store, order.back()));
  }
  const auto mixed = draw_mix(mix, batch, height, width, 5, 2);
  std::vector<float> made(batch * size);
  load_batch(*store, recipe, order.data(), batch, mixed, made.data(), serially);
  const std::vector<double> want(made.begin(), made.end());
  auto out = poisoned<T>(batch * size);
  auto workspace = poisoned<float>(cuda::images_workspace_floats(batch, height, width));
  cuda::load_images(store->at(0), count, height, width, channels, indices.data(),
                    recipe.moves() ? draws.data() : nullptr, batch, recipe.preprocess, type, out.data(),
                    workspace.data(), nullptr);
  if (!mixed.empty()) cuda::mix_images(type, out.data(), batch, height, width, channels, mixed.data(), nullptr);
  char name[96];
  std::snprintf(name, sizeof name, "%s %-24s %2d x %2d, %d channels", type_name<T>(), what, height, width, channels);
  const double roundings = mixed.empty() ? 1 : 2;  // a mixture is stored of what is stored
  report.line(name, {{"pixels", error_of(out, want), 1e-4 + roundings * rounding<T>()}});
}

template <class T>
void check_type(Report& report) {
  const auto with = [](const Augment& augment) {
    ImageRecipe r;
    r.augment = augment;
    return r;
  };
  Augment flips, turns, warp, colour, crop, all;
  flips.flips = turns.flips = Augment::Flips::both;
  turns.turns = true;
  crop.flips = Augment::Flips::horizontal, crop.crop_min = 0.3f, crop.erase = 1;
  warp.scale_min = 0.7f, warp.scale_max = 1.3f, warp.translate = 0.1f, warp.rotate_deg = 30;
  colour.brightness = 0.2f, colour.contrast = 0.4f, colour.saturation = 0.5f;
  all = warp;
  all.flips = Augment::Flips::both, all.turns = true, all.brightness = all.contrast = all.saturation = 0.2f;
  all.crop_min = 0.5f, all.erase = 0.5f;
  for (int channels : {1, 2, 3, 4}) {
    check<T>(report, "as they are", channels, 32, 40, {});
    check<T>(report, "flips and turns", channels, 31, 31, with(turns));
    check<T>(report, "everything", channels, 33, 29, with(all));
    check<T>(report, "everything, mixed", channels, 29, 33, with(all), {0.5f, 1});
  }
  check<T>(report, "flips", 3, 24, 40, with(flips));
  check<T>(report, "scale, shift, rotation", 3, 64, 64, with(warp));
  check<T>(report, "colour", 3, 48, 48, with(colour));
  check<T>(report, "crop, erasing", 3, 40, 24, with(crop));
  check<T>(report, "everything", 3, 64, 64, with(all));
  check<T>(report, "one pixel", 3, 1, 1, with(all), {1, 1});
  check<T>(report, "mixup", 3, 30, 20, {}, {1, 0});
  check<T>(report, "cutmix", 3, 30, 20, {}, {0, 1});
  ImageRecipe turned;
  turned.symmetry = 5;
  check<T>(report, "a symmetry", 3, 30, 30, turned);
}

// An index outside the store must neither read nor pass unseen.
void check_outside(Report& report) {
  const std::vector<uint8_t> store(3 * 4, 100);
  const std::vector<int64_t> indices = {3, -1, 2};
  std::vector<float> out(12), workspace(3);
  cuda::load_images(store.data(), 3, 2, 2, 1, indices.data(), nullptr, 3, {{1, 1, 1, 1}, {}}, cuda::Type::float32,
                    out.data(), workspace.data(), nullptr);
  bool right = true;
  for (int i = 0; i < 12; ++i) right = right && (i < 8 ? std::isnan(out[i]) : out[i] == 100);
  report.line("an index outside the store", {{"wrong", right ? 0.0 : 1.0, 0.0}});
}

}  // namespace

int main() {
  Report report;
  check_type<float>(report);
  check_type<bfloat16>(report);
  check_outside(report);
  return report.exit_code();
}
