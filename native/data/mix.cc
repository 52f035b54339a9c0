// See mix.h.
#include "data/mix.h"

#include <algorithm>
#include <cmath>

#include "data/random.h"

namespace mnv2 {
namespace {

/** Keeps these draws apart from augmentation's, which count epochs and images where these count steps and places. */
constexpr uint64_t kDomain = 0x6d69782d64726177ull;

/** Numbers of one stream, one after the other, from a slot on: for rejection, which takes as many as it takes. */
class Sequence {
 public:
  Sequence(const Stream& stream, uint64_t slot) : stream_(stream), slot_(slot) {}
  /** uniform in (0, 1] */
  double next() { return 1 - stream_.unit(slot_++); }

 private:
  const Stream& stream_;
  uint64_t slot_;
};

/**
 * The logarithm of a Gamma(shape) number (Marsaglia and Tsang 2000). Of shape + 1 where it is small, times a power of a
 * uniform number; the logarithm keeps what would round to 0.
 */
double log_gamma_number(double shape, Sequence& random) {
  const double boost = shape < 1 ? std::log(random.next()) / shape : 0;
  const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double radius = std::sqrt(-2 * std::log(random.next()));
    const double normal = radius * std::cos(6.283185307179586 * random.next());
    const double base = 1 + c * normal, uniform = random.next();
    if (base <= 0) continue;
    const double cube = base * base * base;
    if (std::log(uniform) < 0.5 * normal * normal + d * (1 - cube + std::log(cube))) {
      return std::log(d * cube) + boost;
    }
  }
}

/** A Beta(alpha, alpha) number. */
double beta_number(double alpha, Sequence random) {
  const double a = log_gamma_number(alpha, random), b = log_gamma_number(alpha, random);
  return 1 / (1 + std::exp(b - a));
}

MNV2_CLONES void blend(float* own, const float* partner, int64_t n, float share) {
  const float rest = 1 - share;
  for (int64_t i = 0; i < n; i++) own[i] = share * own[i] + rest * partner[i];
}

/** A side of the rectangle: a share of the whole about a point drawn from all of it, cut at the borders. */
void place(double share, double at, int whole, int& start, int& length) {
  const int centre = static_cast<int>(at * whole), half = static_cast<int>(share * whole) / 2;
  start = std::max(0, centre - half);
  length = std::min(whole, centre + half) - start;
}

}  // namespace

std::vector<MixDraw> draw_mix(const Mix& mix, int64_t count, int height, int width, uint64_t seed, uint64_t step) {
  enum Slot : uint64_t { kWhich, kX, kY, kBeta };
  std::vector<MixDraw> draws;
  if (!mix.on() || count < 2) return draws;
  for (int64_t i = 0; i < count; i++) {
    const Stream random(seed ^ kDomain, step, static_cast<uint64_t>(i));
    const bool cut = mix.cutmix > 0 && (mix.mixup <= 0 || (random.bits(kWhich) & 1));
    MixDraw d{};
    const double own = beta_number(cut ? mix.cutmix : mix.mixup, Sequence(random, kBeta));
    d.own = static_cast<float>(own);
    if (cut) {
      const double side = std::sqrt(1 - own);
      place(side, random.unit(kX), width, d.x, d.width);
      place(side, random.unit(kY), height, d.y, d.height);
      // What the borders and whole pixels cut off is the image's own.
      if (d.width == 0 || d.height == 0)
        d = {1, 0, 0, 0, 0};
      else
        d.own = 1 - static_cast<float>(static_cast<double>(d.width) * d.height / (static_cast<double>(width) * height));
    }
    draws.push_back(d);
  }
  return draws;
}

void mix_images(float* batch, int64_t height, int64_t width, int64_t channels, const std::vector<MixDraw>& draws,
                const Parallel& parallel) {
  const int64_t row = width * channels, image = height * row, count = static_cast<int64_t>(draws.size());
  parallel(height, [&](int64_t begin, int64_t end) {
    // From the first image on each reads a partner nobody has written yet; the last one's is kept aside.
    std::vector<float> first(row);
    for (int64_t y = begin; y < end; y++) {
      std::copy_n(batch + y * row, row, first.data());
      for (int64_t i = 0; i < count; i++) {
        const auto& d = draws[i];
        float* own = batch + i * image + y * row;
        const float* partner = i + 1 < count ? own + image : first.data();
        if (d.width > 0) {
          if (y >= d.y && y < d.y + d.height)
            std::copy_n(partner + d.x * channels, d.width * channels, own + d.x * channels);
        } else if (d.own < 1) {
          blend(own, partner, row, d.own);
        }
      }
    }
  });
}

}  // namespace mnv2
