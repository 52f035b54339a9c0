// Holds images.cu, run block by block on emulated_grid.h, to ImageStore::load, the CPU's version
// of the same. Not for a card.
#include "data/image_store.h"

#include "kernels/testing.h"
#include "cuda/kernels.h"

using namespace mnv2;
using namespace mnv2::testing;

namespace {

template <class T>
void check(Report& report, const char* what, int channels, int height, int width, const Augment* augment) {
  const auto type = sizeof(T) == 4 ? cuda::Type::float32 : cuda::Type::bfloat16;
  const int64_t count = 7, batch = 6, size = int64_t(height) * width * channels;
  const auto store = ImageStore::in_memory(count, height, width, channels);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < size; ++j)  // smooth, so that a coordinate's last bit does not show, with some texture
      store->at(i)[j] = uint8_t(128 + 100 * std::sin(0.05 * double(j / channels % width) + double(i)) +
                                20 * std::cos(0.07 * double(j / channels / width) + double(j % channels)));
  const Preprocess p{{0.02f, 0.017f, 0.03f, 0.01f}, {-2, -1.5f, -1, 0.5f}};
  std::vector<int64_t> indices(batch);
  std::vector<AugmentDraw> draws(batch);
  std::vector<double> want;
  for (int64_t b = 0; b < batch; ++b) {
    indices[b] = int64_t(rng()() % count);
    if (augment) draws[b] = draw(*augment, height, width, 11, 3, indices[b]);
    std::vector<float> image(size);
    store->load(indices[b], p, augment, 11, 3, image.data());
    want.insert(want.end(), image.begin(), image.end());
  }
  auto out = poisoned<T>(batch * size);
  auto workspace = poisoned<float>(cuda::images_workspace_floats(batch, height, width));
  cuda::load_images(store->at(0), count, height, width, channels, indices.data(), augment ? draws.data() : nullptr,
                    batch, p, type, out.data(), workspace.data(), nullptr);
  char name[96];
  std::snprintf(name, sizeof name, "%s %-24s %2d x %2d, %d channels", type_name<T>(), what, height, width, channels);
  report.line(name, {{"pixels", error_of(out, want), 1e-4 + rounding<T>()}});
}

template <class T>
void check_type(Report& report) {
  Augment flips, turns, warp, colour, all;
  flips.flips = true;
  turns.flips = turns.turns = true;
  warp.scale_min = 0.7f, warp.scale_max = 1.3f, warp.translate = 0.1f, warp.rotate_deg = 30;
  colour.brightness = 0.2f, colour.contrast = 0.4f, colour.saturation = 0.5f;
  all = warp;
  all.flips = all.turns = true, all.brightness = all.contrast = all.saturation = 0.2f;
  for (int channels : {1, 2, 3, 4}) {
    check<T>(report, "as they are", channels, 32, 40, nullptr);
    check<T>(report, "flips and turns", channels, 31, 31, &turns);
    check<T>(report, "everything", channels, 33, 29, &all);
  }
  check<T>(report, "flips", 3, 24, 40, &flips);
  check<T>(report, "scale, shift, rotation", 3, 64, 64, &warp);
  check<T>(report, "colour", 3, 48, 48, &colour);
  check<T>(report, "everything", 3, 64, 64, &all);
  check<T>(report, "one pixel", 3, 1, 1, &all);
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
