// See augment.h.
#include "data/augment.h"

#include <algorithm>
#include <cmath>

#include "data/random.h"
#include "kernels/loops.h"

namespace mnv2 {
namespace {

/** Coordinate folded into [0, size - 1], mirrored about the border pixels. */
inline float mirror(float v, int size) {
  const float last = static_cast<float>(size - 1);
  v = std::fabs(v);
  if (v <= last) return v;
  v = 2 * last - v;
  if (v >= 0) return v;
  // Farther out than one image: rare enough for a division. A one-pixel side has only one place to go.
  v = size == 1 ? 0 : std::fmod(-v, 2 * last);
  return v > last ? 2 * last - v : v;
}

inline bool whole(float v) { return v == std::nearbyint(v); }

/** Whether the matrix only flips and turns: whole numbers that keep the image on itself. */
bool moves_pixels_only(const float* m, int height, int width) {
  const bool straight = std::fabs(m[0]) == 1 && std::fabs(m[4]) == 1 && m[1] == 0 && m[3] == 0;
  const bool turned = std::fabs(m[1]) == 1 && std::fabs(m[3]) == 1 && m[0] == 0 && m[4] == 0 && height == width;
  if (!(straight || turned) || !whole(m[2]) || !whole(m[5])) return false;
  const float x_end = m[0] * (width - 1) + m[1] * (height - 1) + m[2],
              y_end = m[3] * (width - 1) + m[4] * (height - 1) + m[5];
  auto inside = [](float v, int size) { return v >= 0 && v <= static_cast<float>(size - 1); };
  return inside(m[2], width) && inside(m[5], height) && inside(x_end, width) && inside(y_end, height);
}

// Sixteen pixels are a whole number of vectors for any channel count, so the channel's scale is a table, not a modulo.
constexpr int kBlock = 16;

template <int C>
MNV2_CLONES void normalise(const uint8_t* in, int64_t pixels, const Preprocess& p, float* out) {
  float scale[kBlock * C], shift[kBlock * C];
  for (int i = 0; i < kBlock * C; i++) {
    scale[i] = p.scale[i % C];
    shift[i] = p.shift[i % C];
  }
  const int64_t n = pixels * C;
  int64_t i = 0;
  for (; i + kBlock * C <= n; i += kBlock * C) {
    for (int j = 0; j < kBlock * C; j++) out[i + j] = static_cast<float>(in[i + j]) * scale[j] + shift[j];
  }
  for (; i < n; i++) out[i] = static_cast<float>(in[i]) * scale[i % C] + shift[i % C];
}

template <int C>
void move_pixels(const uint8_t* in, int height, int width, const float* m, const Preprocess& p, float* out) {
  const auto step = [&](float dx, float dy) {
    return (static_cast<int64_t>(dy) * width + static_cast<int64_t>(dx)) * C;
  };
  const int64_t start = step(m[2], m[5]), along = step(m[0], m[3]), down = step(m[1], m[4]);
  for (int y = 0; y < height; y++) {
    const uint8_t* from = in + start + y * down;
    for (int x = 0; x < width; x++, from += along, out += C) {
      for (int c = 0; c < C; c++) out[c] = static_cast<float>(from[c]) * p.scale[c] + p.shift[c];
    }
  }
}

template <int C>
MNV2_CLONES void warp(const uint8_t* in, int height, int width, const float* m, float* out) {
  auto inside = [&](float x, float y) {
    return x >= 0 && y >= 0 && x <= static_cast<float>(width - 1) && y <= static_cast<float>(height - 1);
  };
  for (int y = 0; y < height; y++) {
    const float row_x = m[1] * y + m[2], row_y = m[4] * y + m[5];
    // A row is a straight line, so its ends say whether any of it leaves the image.
    const bool leaves = !inside(row_x, row_y) || !inside(m[0] * (width - 1) + row_x, m[3] * (width - 1) + row_y);
    for (int x = 0; x < width; x++, out += C) {
      float sx = m[0] * x + row_x, sy = m[3] * x + row_y;
      if (leaves) {
        sx = mirror(sx, width);
        sy = mirror(sy, height);
      }
      const int x0 = std::clamp(static_cast<int>(sx), 0, width - 1),
                y0 = std::clamp(static_cast<int>(sy), 0, height - 1);
      const int x1 = std::min(x0 + 1, width - 1), y1 = std::min(y0 + 1, height - 1);
      const float fx = sx - x0, fy = sy - y0;
      const uint8_t *a = in + (static_cast<int64_t>(y0) * width + x0) * C,
                    *b = in + (static_cast<int64_t>(y0) * width + x1) * C;
      const uint8_t *c = in + (static_cast<int64_t>(y1) * width + x0) * C,
                    *d = in + (static_cast<int64_t>(y1) * width + x1) * C;
      for (int k = 0; k < C; k++) {
        const float top = a[k] + fx * (b[k] - a[k]), bottom = c[k] + fx * (d[k] - c[k]);
        out[k] = top + fy * (bottom - top);
      }
    }
  }
}

/** ITU-R 601 luma; one channel is its own grey, a fourth (alpha-like) channel is left out. */
template <int C>
inline float grey(const float* p) {
  return C >= 3 ? 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2] : p[0];
}

template <int C>
MNV2_CLONES void colour(float* image, int64_t pixels, const AugmentDraw& d, const Preprocess& p) {
  double sum = 0;
  if (d.contrast != 1) {
    for (int64_t i = 0; i < pixels; i++) sum += grey<C>(image + i * C);
  }
  const float mean = static_cast<float>(sum / static_cast<double>(pixels)) * d.brightness;
  const float gain = d.brightness * d.contrast, offset = mean * (1 - d.contrast);
  for (int64_t i = 0; i < pixels; i++) {
    float* v = image + i * C;
    const float g = grey<C>(v) * gain + offset;
    for (int c = 0; c < C; c++) {
      const float value = g + d.saturation * (v[c] * gain + offset - g);
      v[c] = std::min(std::max(value, 0.0f), 255.0f) * p.scale[c] + p.shift[c];
    }
  }
}

template <int C>
void load_as(const uint8_t* in, int height, int width, const Preprocess& p, const AugmentDraw* d, float* out) {
  const int64_t pixels = static_cast<int64_t>(height) * width;
  if (!d) return normalise<C>(in, pixels, p, out);
  const bool recolour = d->brightness != 1 || d->contrast != 1 || d->saturation != 1;
  constexpr Preprocess kAsIs{{1, 1, 1, 1}, {0, 0, 0, 0}};
  const Preprocess& first = recolour ? kAsIs : p;
  if (moves_pixels_only(d->matrix, height, width)) {
    move_pixels<C>(in, height, width, d->matrix, first, out);
  } else {
    warp<C>(in, height, width, d->matrix, out);
    if (!recolour) {
      for (int64_t i = 0; i < pixels; i++) {
        for (int c = 0; c < C; c++) out[i * C + c] = out[i * C + c] * p.scale[c] + p.shift[c];
      }
    }
  }
  if (recolour) colour<C>(out, pixels, *d, p);
  for (int y = d->erase_y; y < d->erase_y + d->erase_height; y++) {
    float* row = out + (static_cast<int64_t>(y) * width + d->erase_x) * C;
    std::fill(row, row + static_cast<int64_t>(d->erase_width) * C, 0.0f);
  }
}

/** Sides of a window as shares of the image's sides. */
struct Window {
  float width, height;
};

/**
 * A window of this share of the image's area whose aspect ratio (width by height) is drawn from low .. high on a
 * logarithmic scale, `at` in [0, 1). Ratios with which it would not fit are left out, so the area is always kept; where
 * none is left, the nearest that fits is taken.
 */
Window window_of(float area, float low, float high, double at, double image_ratio) {
  const double narrowest = std::log(image_ratio * area), widest = std::log(image_ratio / area);
  const double from = std::clamp(std::log(static_cast<double>(low)), narrowest, widest),
               to = std::clamp(std::log(static_cast<double>(high)), narrowest, widest);
  const double ratio = std::exp(from + (to - from) * at) / image_ratio;
  const auto share = [&](double of) { return static_cast<float>(std::min(1.0, std::sqrt(area * of))); };
  return {share(ratio), share(1 / ratio)};
}

/** Linear part (xx, xy; yx, yy) of quarter turns. */
struct Linear {
  float xx = 1, xy = 0, yx = 0, yy = 1;
  void turn(int times) {
    for (int i = 0; i < times; i++) {
      const float old_xx = xx, old_xy = xy;
      xx = -yx, xy = -yy;
      yx = old_xx, yy = old_xy;
    }
  }
};

}  // namespace

AugmentDraw draw(const Augment& a, int height, int width, uint64_t seed, uint64_t epoch, int64_t index) {
  enum Slot : uint64_t {
    kDihedral,
    kScale,
    kShiftX,
    kShiftY,
    kRotate,
    kBrightness,
    kContrast,
    kSaturation,
    kCropArea,
    kCropRatio,
    kCropX,
    kCropY,
    kErase,
    kEraseArea,
    kEraseRatio,
    kEraseX,
    kEraseY
  };
  const Stream random(seed, epoch, static_cast<uint64_t>(index));
  const uint64_t dihedral = random.bits(kDihedral);
  // A mirror image, then quarter turns (half turns where the image is not square).
  Linear l;
  if (a.flips != Augment::Flips::none && (dihedral & 1)) l.xx = -1;
  if (a.flips == Augment::Flips::both && (dihedral & 8)) l.yy = -1;
  if (a.turns) l.turn(static_cast<int>((dihedral >> 1) & (height == width ? 3 : 2)));
  const float side = random.between(kScale, a.scale_min, a.scale_max);
  const float angle =
      a.rotate_deg == 0 ? 0 : random.between(kRotate, -a.rotate_deg, a.rotate_deg) * 0.017453292519943295f;
  const float cosine = std::cos(angle) * side, sine = std::sin(angle) * side;
  AugmentDraw d{};
  float* m = d.matrix;
  m[0] = cosine * l.xx - sine * l.yx;
  m[1] = cosine * l.xy - sine * l.yy;
  m[3] = sine * l.xx + cosine * l.yx;
  m[4] = sine * l.xy + cosine * l.yy;
  // About the centre, then shifted by a fraction of the side.
  const float cx = (width - 1) * 0.5f, cy = (height - 1) * 0.5f;
  const float dx = a.translate == 0 ? 0 : random.between(kShiftX, -a.translate, a.translate) * width;
  const float dy = a.translate == 0 ? 0 : random.between(kShiftY, -a.translate, a.translate) * height;
  m[2] = cx - (m[0] * cx + m[1] * cy) + dx;
  m[5] = cy - (m[3] * cx + m[4] * cy) + dy;
  const double image_ratio = static_cast<double>(width) / height;
  if (a.crop_min < 1) {
    // The crop comes first and the rest happens to it: its window is where the image so far is read from.
    const Window w = window_of(random.between(kCropArea, a.crop_min, a.crop_max), a.ratio_min, a.ratio_max,
                               random.unit(kCropRatio), image_ratio);
    const float x = cx + random.between(kCropX, -1, 1) * (1 - w.width) * cx,
                y = cy + random.between(kCropY, -1, 1) * (1 - w.height) * cy;
    m[0] *= w.width, m[1] *= w.width, m[2] = (m[2] - cx) * w.width + x;
    m[3] *= w.height, m[4] *= w.height, m[5] = (m[5] - cy) * w.height + y;
  }
  d.brightness = random.between(kBrightness, 1 - a.brightness, 1 + a.brightness);
  d.contrast = random.between(kContrast, 1 - a.contrast, 1 + a.contrast);
  d.saturation = random.between(kSaturation, 1 - a.saturation, 1 + a.saturation);
  if (random.unit(kErase) < a.erase) {  // bounds of Zhong et al. 2020
    const Window w =
        window_of(random.between(kEraseArea, 0.02f, 0.33f), 0.3f, 3.3f, random.unit(kEraseRatio), image_ratio);
    d.erase_width = std::max(1, static_cast<int>(std::lround(w.width * width)));
    d.erase_height = std::max(1, static_cast<int>(std::lround(w.height * height)));
    d.erase_x = static_cast<int>(random.unit(kEraseX) * (width - d.erase_width + 1));
    d.erase_y = static_cast<int>(random.unit(kEraseY) * (height - d.erase_height + 1));
  }
  return d;
}

AugmentDraw symmetry(int which, int height, int width) {
  Linear l;
  if (which & 1) l.xx = -1;
  l.turn(which >> 1);
  const float cx = (width - 1) * 0.5f, cy = (height - 1) * 0.5f;
  return {{l.xx, l.xy, cx - (l.xx * cx + l.xy * cy), l.yx, l.yy, cy - (l.yx * cx + l.yy * cy)}, 1, 1, 1, 0, 0, 0, 0};
}

void load_image(const uint8_t* in, int height, int width, int channels, const Preprocess& preprocess,
                const AugmentDraw* draw, float* out) {
  switch (channels) {
    case 1: return load_as<1>(in, height, width, preprocess, draw, out);
    case 2: return load_as<2>(in, height, width, preprocess, draw, out);
    case 3: return load_as<3>(in, height, width, preprocess, draw, out);
    default: return load_as<4>(in, height, width, preprocess, draw, out);
  }
}

}  // namespace mnv2
