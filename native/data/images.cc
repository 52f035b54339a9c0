// See images.h.
#include "data/images.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <vector>

#include "data/random.h"
#include "errors.h"
#include "kernels/loops.h"

namespace mnv2 {
namespace {

/** Counter-based random numbers: number `slot` of one image in one epoch. */
struct Stream {
  uint64_t key;
  Stream(uint64_t seed, uint64_t epoch, int64_t index)
      : key(splitmix(splitmix(splitmix(seed) ^ epoch) ^ static_cast<uint64_t>(index))) {}
  uint64_t bits(uint64_t slot) const { return splitmix(key ^ splitmix(slot)); }
  /** uniform in [low, high) */
  float between(uint64_t slot, float low, float high) const {
    return low + (high - low) * static_cast<float>(static_cast<double>(bits(slot) >> 11) * 0x1p-53);
  }
};

std::string shape_text(int64_t count, int height, int width, int channels) {
  return "[" + std::to_string(count) + ", " + std::to_string(height) + ", " + std::to_string(width) + ", " +
         std::to_string(channels) + "]";
}

[[noreturn]] void refuse_file(const std::string& path, const std::string& doing, int error) {
  const char* advice = error == ENOSPC ? " Free disk space, or turn the cache off." : "";
  throw Failure("DATA", "image store " + path + ": cannot " + doing + ": " + std::strerror(error) + "." + advice);
}

struct File {
  explicit File(int fd) : fd(fd) {}
  ~File() {
    if (fd >= 0) ::close(fd);
  }
  int fd;
};

/** Disk space now, because running out of it while writing through a map is a SIGBUS. */
int reserve(int fd, int64_t bytes) {
#ifdef __APPLE__
  return ::ftruncate(fd, bytes) == 0 ? 0 : errno;
#else
  return ::posix_fallocate(fd, 0, bytes);
#endif
}

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
}

/** For each output position: where its source window starts, and its weights, as multiples of 2^-22. */
struct Filter {
  static constexpr int kBits = 22;
  int taps = 0;  // of every position: windows that need fewer have zeros, so that loops over them are easily predicted
  std::vector<int> start;
  std::vector<int32_t> weights;  // [output, taps]

  Filter(int from, int to) : start(to) {
    const double ratio = static_cast<double>(from) / to, support = std::max(ratio, 1.0);
    const auto window = [&](int i) {
      const double centre = (i + 0.5) * ratio;
      return std::pair(std::max(static_cast<int>(centre - support + 0.5), 0),
                       std::min(static_cast<int>(centre + support + 0.5), from));
    };
    for (int i = 0; i < to; i++) taps = std::max(taps, window(i).second - window(i).first);
    weights.assign(static_cast<size_t>(to) * taps, 0);
    std::vector<double> real(taps);
    for (int i = 0; i < to; i++) {
      const double centre = (i + 0.5) * ratio;
      const auto [first, end] = window(i);
      start[i] = std::min(first, from - taps);
      double sum = 0;
      for (int k = first; k < end; k++)
        sum += real[k - first] = std::max(1 - std::fabs((k + 0.5 - centre) / support), 0.0);
      int32_t* w = weights.data() + static_cast<size_t>(i) * taps - start[i];
      for (int k = first; k < end; k++) w[k] = static_cast<int32_t>(0.5 + real[k - first] / sum * (1 << kBits));
    }
  }
};

inline uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> Filter::kBits, 0, 255)); }
constexpr int32_t kHalf = 1 << (Filter::kBits - 1);

using Four = int32_t __attribute__((vector_size(16), aligned(4), may_alias));

/** Whole rows become integers and bytes again in vector loops; in between a pixel and the number after it are one
 * vector. */
MNV2_CLONES void resample_across(const uint8_t* in, int height, int width, const Filter& f, uint8_t* out, int to) {
  // Local pointers: bytes may alias anything, and f's own would be read again after every store.
  const int32_t* const weights = f.weights.data();
  const int* const start = f.start.data();
  const int taps = f.taps;
  const int64_t from_row = static_cast<int64_t>(width) * 3, to_row = static_cast<int64_t>(to) * 3;
  std::vector<int32_t> wide(from_row + 1), sums(to_row + 1);
  for (int y = 0; y < height; y++, in += from_row, out += to_row) {
    for (int64_t i = 0; i < from_row; i++) wide[i] = in[i];
    const int32_t* w = weights;
    for (int x = 0; x < to; x++) {
      const int32_t* p = wide.data() + static_cast<int64_t>(start[x]) * 3;
      Four sum = {kHalf, kHalf, kHalf, kHalf};
      for (int k = 0; k < taps; k++, p += 3) sum += *reinterpret_cast<const Four*>(p) * *w++;
      *reinterpret_cast<Four*>(&sums[static_cast<int64_t>(x) * 3]) = sum;
    }
    for (int64_t i = 0; i < to_row; i++) out[i] = to_byte(sums[i]);
  }
}

MNV2_CLONES void resample_down(const uint8_t* in, int64_t row, const Filter& f, uint8_t* out, int to) {
  std::vector<int32_t> sums(row);
  for (int y = 0; y < to; y++, out += row) {
    std::fill(sums.begin(), sums.end(), kHalf);
    for (int k = 0; k < f.taps; k++) {
      const int32_t w = f.weights[static_cast<size_t>(y) * f.taps + k];
      const uint8_t* p = in + (f.start[y] + k) * row;
      for (int64_t x = 0; x < row; x++) sums[x] += p[x] * w;
    }
    for (int64_t x = 0; x < row; x++) out[x] = to_byte(sums[x]);
  }
}

}  // namespace

void resample_rgb(const uint8_t* in, int height, int width, uint8_t* out, int size) {
  // A direction that keeps its length is left alone.
  std::vector<uint8_t> narrowed;
  if (width != size) {
    uint8_t* to = out;
    if (height != size) {
      narrowed.resize(static_cast<size_t>(height) * size * 3);
      to = narrowed.data();
    }
    resample_across(in, height, width, Filter(width, size), to, size);
    in = to;
  }
  if (height != size) {
    resample_down(in, static_cast<int64_t>(size) * 3, Filter(height, size), out, size);
  } else if (width == size) {
    std::memcpy(out, in, static_cast<size_t>(size) * size * 3);
  }
}

AugmentDraw draw(const Augment& a, int height, int width, uint64_t seed, uint64_t epoch, int64_t index) {
  enum Slot : uint64_t { kDihedral, kScale, kShiftX, kShiftY, kRotate, kBrightness, kContrast, kSaturation };
  const Stream random(seed, epoch, index);
  const uint64_t dihedral = random.bits(kDihedral);
  // Linear part: a mirror image, then quarter turns (half turns where the image is not square).
  float xx = 1, xy = 0, yx = 0, yy = 1;
  if (a.flips && (dihedral & 1)) xx = -1;
  if (a.flips && (dihedral & 8)) yy = -1;
  if (a.turns) {
    int turns = static_cast<int>((dihedral >> 1) & 3);
    if (height != width) turns &= 2;
    for (int i = 0; i < turns; i++) {
      const float old_xx = xx, old_xy = xy;
      xx = -yx, xy = -yy;
      yx = old_xx, yy = old_xy;
    }
  }
  const float side = random.between(kScale, a.scale_min, a.scale_max);
  const float angle =
      a.rotate_deg == 0 ? 0 : random.between(kRotate, -a.rotate_deg, a.rotate_deg) * 0.017453292519943295f;
  const float cosine = std::cos(angle) * side, sine = std::sin(angle) * side;
  AugmentDraw d;
  d.matrix[0] = cosine * xx - sine * yx;
  d.matrix[1] = cosine * xy - sine * yy;
  d.matrix[3] = sine * xx + cosine * yx;
  d.matrix[4] = sine * xy + cosine * yy;
  // About the centre, then shifted by a fraction of the side.
  const float cx = (width - 1) * 0.5f, cy = (height - 1) * 0.5f;
  const float dx = a.translate == 0 ? 0 : random.between(kShiftX, -a.translate, a.translate) * width;
  const float dy = a.translate == 0 ? 0 : random.between(kShiftY, -a.translate, a.translate) * height;
  d.matrix[2] = cx - (d.matrix[0] * cx + d.matrix[1] * cy) + dx;
  d.matrix[5] = cy - (d.matrix[3] * cx + d.matrix[4] * cy) + dy;
  d.brightness = random.between(kBrightness, 1 - a.brightness, 1 + a.brightness);
  d.contrast = random.between(kContrast, 1 - a.contrast, 1 + a.contrast);
  d.saturation = random.between(kSaturation, 1 - a.saturation, 1 + a.saturation);
  return d;
}

ImageStore::ImageStore(int64_t count, int height, int width, int channels)
    : count_(count), height_(height), width_(width), channels_(channels) {
  const auto text = shape_text(count, height, width, channels);
  if (count < 1 || height < 1 || width < 1 || channels < 1 || channels > 4) {
    throw Failure("USAGE",
                  "image store: expected a count, height and width of at least 1 and 1 to 4 channels, got " + text);
  }
  image_bytes_ = static_cast<int64_t>(height) * width * channels;
  if (image_bytes_ > (int64_t{1} << 31) || count > (int64_t{1} << 46) / image_bytes_) {
    throw Failure("USAGE", "image store: " + text + " is more than a store can hold");
  }
  versions_ = std::vector<std::atomic<uint32_t>>(count);
}

std::shared_ptr<ImageStore> ImageStore::in_memory(int64_t count, int height, int width, int channels) {
  std::shared_ptr<ImageStore> store(new ImageStore(count, height, width, channels));
  void* bytes =
      ::mmap(nullptr, count * store->image_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (bytes == MAP_FAILED) {
    throw Failure("OUT_OF_MEMORY", "image store: no memory for " + shape_text(count, height, width, channels) +
                                       " images. Use a smaller image size.");
  }
  store->bytes_ = static_cast<uint8_t*>(bytes);
  return store;
}

std::shared_ptr<ImageStore> ImageStore::map_file(const std::string& path, int64_t count, int height, int width,
                                                 int channels, bool create) {
  std::shared_ptr<ImageStore> store(new ImageStore(count, height, width, channels));
  const int64_t bytes = count * store->image_bytes_;
  File file(::open(path.c_str(), create ? O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0644));
  if (file.fd < 0) refuse_file(path, create ? "create it" : "open it", errno);
  if (create) {
    if (const int error = reserve(file.fd, bytes)) {
      ::unlink(path.c_str());
      refuse_file(path, "reserve " + std::to_string(bytes) + " bytes", error);
    }
  } else {
    struct stat facts;
    if (::fstat(file.fd, &facts) != 0) refuse_file(path, "read its size", errno);
    if (facts.st_size != bytes) {
      throw Failure("DATA", "image store " + path + ": expected " + std::to_string(bytes) + " bytes for " +
                                shape_text(count, height, width, channels) + ", found " +
                                std::to_string(static_cast<int64_t>(facts.st_size)) +
                                ". Delete the file; it will be made again.");
    }
  }
  void* map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, create ? MAP_SHARED : MAP_PRIVATE, file.fd, 0);
  if (map == MAP_FAILED) refuse_file(path, "map it", errno);
  store->bytes_ = static_cast<uint8_t*>(map);
  store->mapped_ = true;
  return store;
}

ImageStore::~ImageStore() {
  if (bytes_) ::munmap(bytes_, count_ * image_bytes_);
}

void ImageStore::put(int64_t index, const uint8_t* pixels) {
  std::memcpy(at(index), pixels, image_bytes_);
  versions_[index].fetch_add(1, std::memory_order_release);
}

uint64_t ImageStore::hash(int64_t index) const {
  // Four independent lanes, so that the multiplications overlap.
  constexpr uint64_t kMultiplier = 0x9fb21c651e98df25ull;
  auto fold = [](uint64_t lane, uint64_t word) {
    lane = (lane ^ word) * kMultiplier;
    return lane ^ (lane >> 29);
  };
  const uint8_t* in = at(index);
  uint64_t lanes[4] = {1, 2, 3, 4}, words[4];
  int64_t i = 0;
  for (; i + 32 <= image_bytes_; i += 32) {
    std::memcpy(words, in + i, 32);
    for (int k = 0; k < 4; k++) lanes[k] = fold(lanes[k], words[k]);
  }
  std::memset(words, 0, 32);
  std::memcpy(words, in + i, image_bytes_ - i);
  uint64_t result = static_cast<uint64_t>(image_bytes_);
  for (int k = 0; k < 4; k++) result = splitmix(result ^ fold(lanes[k], words[k]));
  return result;
}

bool ImageStore::equal(int64_t a, int64_t b) const { return std::memcmp(at(a), at(b), image_bytes_) == 0; }

void ImageStore::load(int64_t index, const Preprocess& preprocess, const Augment* augment, uint64_t seed,
                      uint64_t epoch, float* out) const {
  AugmentDraw drawn;
  if (augment) drawn = draw(*augment, height_, width_, seed, epoch, index);
  const AugmentDraw* d = augment ? &drawn : nullptr;
  const uint8_t* in = at(index);
  switch (channels_) {
    case 1: return load_as<1>(in, height_, width_, preprocess, d, out);
    case 2: return load_as<2>(in, height_, width_, preprocess, d, out);
    case 3: return load_as<3>(in, height_, width_, preprocess, d, out);
    default: return load_as<4>(in, height_, width_, preprocess, d, out);
  }
}

}  // namespace mnv2
