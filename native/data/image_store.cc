// See image_store.h.
#include "data/image_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/random.h"
#include "errors.h"

namespace mnv2 {
namespace {

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

}  // namespace

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
                                                 int channels, Access access) {
  const bool create = access == Access::kCreate, update = access == Access::kUpdate;
  std::shared_ptr<ImageStore> store(new ImageStore(count, height, width, channels));
  const int64_t bytes = count * store->image_bytes_;
  File file(::open(path.c_str(), (create ? O_RDWR | O_CREAT | O_TRUNC : update ? O_RDWR : O_RDONLY) | O_CLOEXEC, 0644));
  if (file.fd < 0) refuse_file(path, create ? "create it" : "open it", errno);
  if (create) {
    if (const int error = reserve(file.fd, bytes)) {
      ::unlink(path.c_str());
      refuse_file(path, "reserve " + std::to_string(bytes) + " bytes", error);
    }
  } else {
    struct stat facts;
    if (::fstat(file.fd, &facts) != 0) refuse_file(path, "read its size", errno);
    if (update ? facts.st_size < bytes : facts.st_size != bytes) {
      throw Failure("DATA", "image store " + path + ": expected " + (update ? "at least " : "") +
                                std::to_string(bytes) + " bytes for " + shape_text(count, height, width, channels) +
                                ", found " + std::to_string(static_cast<int64_t>(facts.st_size)) +
                                ". Delete the file; it will be made again.");
    }
  }
  // Private pages are promised no memory: a pack may well be larger than all there is.
  const int flags = create || update ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE;
  void* map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file.fd, 0);
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

void ImageStore::load(int64_t index, const Preprocess& preprocess, const AugmentDraw* draw, float* out) const {
  load_image(at(index), height_, width_, channels_, preprocess, draw, out);
}

}  // namespace mnv2
