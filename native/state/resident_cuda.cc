// See resident.h.
#include "state/resident_cuda.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>

#include "device/device_cuda.h"
#include "cuda/kernels.h"

namespace mnv2 {
namespace {

constexpr int64_t kStaged = 16 << 20;  // bytes of images copied at a time

/** Pinned memory, two buffers in turn: the host fills one while the other is copied, and is never further ahead. */
class Staging {
 public:
  /** Room for `size` bytes; waits until what it held two turns ago has arrived. */
  uint8_t* take(int64_t size) {
    turn_ ^= 1;
    auto& bytes = bytes_[turn_];
    copied_[turn_].synchronize();
    if (!bytes.defined() || bytes.numel() < size) {
      bytes = at::empty({size}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
    }
    return bytes.data_ptr<uint8_t>();
  }
  static void copy(void* to, const void* from, int64_t size) {
    C10_CUDA_CHECK(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, c10::cuda::getCurrentCUDAStream().stream()));
  }
  /** After the copies from what `take` gave. */
  void sent() { copied_[turn_].record(c10::cuda::getCurrentCUDAStream()); }

 private:
  at::Tensor bytes_[2];
  at::cuda::CUDAEvent copied_[2];
  int turn_ = 0;
};

struct Kept {
  Staging staging;
  std::vector<std::shared_ptr<DeviceImages>> copies;  // the last used last
};

Kept& kept() {
  thread_local Kept of_this_thread;
  return of_this_thread;
}

/** Half of what is free may be taken, as by the host's caches: the rest is for activations. */
bool fits(int64_t bytes, at::Device device) {
  size_t free = 0, total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const auto torch = cuda_memory(device);
  return bytes <= (static_cast<double>(free) + torch.reserved - torch.allocated) / 2;
}

}  // namespace

DeviceImages::DeviceImages(const std::shared_ptr<ImageStore>& store, at::Device device)
    : store_(store), device_(device), count_(store->count()), image_bytes_(store->image_bytes()) {}

void DeviceImages::reserve() {
  const int64_t bytes = count_ * image_bytes_;
  auto& copies = kept().copies;
  while (!fits(bytes, device_)) {
    auto idle = std::find_if(copies.begin(), copies.end(),
                             [](const auto& copy) { return copy.use_count() == 1 && copy->pixels_.defined(); });
    if (idle == copies.end()) return;
    copies.erase(idle);
  }
  try {
    pixels_ = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).device(device_));
    sent_.assign(count_, -1);
  } catch (const c10::Error&) {
    // Free, but in pieces: as if it did not fit.
  }
}

void DeviceImages::sweep() {
  auto& copies = kept().copies;
  copies.erase(std::remove_if(copies.begin(), copies.end(), [](const auto& copy) { return copy->store_.expired(); }),
               copies.end());
}

std::shared_ptr<DeviceImages> DeviceImages::of(const std::shared_ptr<ImageStore>& store, at::Device device) {
  sweep();
  auto& copies = kept().copies;
  auto found =
      std::find_if(copies.begin(), copies.end(), [&](const auto& copy) { return copy->store_.lock() == store; });
  if (found == copies.end()) found = copies.insert(found, std::make_shared<DeviceImages>(store, device));
  std::rotate(found, found + 1, copies.end());
  auto copy = copies.back();
  if (!copy->pixels_.defined()) copy->reserve();
  return copy;
}

// Outside of the captured graph, which reads the batch alone: what may differ from one loop to the next (augmentation,
// preprocessing, where the pixels lie) would be frozen in a capture, and uploads cannot be captured at all.
at::Tensor DeviceImages::batch(const ImageStore& store, const int32_t* order, const at::Tensor& index,
                               const ImageRecipe& recipe, const std::vector<MixDraw>& mixed, at::ScalarType type,
                               const at::Tensor& into) {
  const int64_t count = index.numel();
  const int height = store.height(), width = store.width(), channels = store.channels();
  const auto bytes = at::TensorOptions().dtype(at::kByte).device(device_);
  auto& staging = kept().staging;

  struct Missing {
    int64_t row, version, at;  // of the store; where it goes
  };
  std::vector<Missing> missing;
  auto pixels = pixels_, rows = index;
  if (pixels_.defined()) {
    for (int64_t i = 0; i < count; i++) {
      const int64_t row = order[i], version = store.version(row);
      if (sent_[row] != version) missing.push_back({row, version, row});
    }
  } else {
    pixels = at::empty({count * image_bytes_}, bytes);
    rows = at::arange(count, index.options());
    for (int64_t i = 0; i < count; i++) missing.push_back({order[i], 0, i});
  }
  const size_t most = std::max<int64_t>(1, kStaged / image_bytes_);
  for (size_t first = 0; first < missing.size(); first += most) {
    const auto* part = &missing[first];
    const int64_t n = std::min(most, missing.size() - first);
    uint8_t* staged = staging.take(n * image_bytes_);
    at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) std::memcpy(staged + i * image_bytes_, store.at(part[i].row), image_bytes_);
    });
    for (int64_t i = 0, run = 1; i < n; i += run, run = 1) {  // neighbours travel together
      while (i + run < n && part[i + run].at == part[i].at + run) run++;
      Staging::copy(pixels.data_ptr<uint8_t>() + part[i].at * image_bytes_, staged + i * image_bytes_,
                    run * image_bytes_);
    }
    staging.sent();
    for (int64_t i = 0; pixels_.defined() && i < n; i++) sent_[part[i].row] = part[i].version;
  }

  // Draws are made here as on the CPU: both see the same augmentation and the same mixtures.
  const auto send = [&](const void* from, int64_t size) {
    auto* staged = staging.take(size);
    std::memcpy(staged, from, size);
    auto sent = at::empty({size}, bytes);
    Staging::copy(sent.data_ptr(), staged, size);
    staging.sent();
    return sent;
  };
  at::Tensor draws, workspace;
  if (recipe.moves()) {
    std::vector<AugmentDraw> drawn;
    for (int64_t i = 0; i < count; i++) drawn.push_back(*recipe.draw(store, order[i]));
    draws = send(drawn.data(), count * sizeof(AugmentDraw));
    workspace = at::empty({cuda::images_workspace_floats(count, height, width)}, bytes.dtype(at::kFloat));
  }

  const std::vector<int64_t> shape{count, channels, height, width};
  constexpr auto layout = at::MemoryFormat::ChannelsLast;
  const bool given =
      into.defined() && into.sizes() == shape && into.scalar_type() == type && into.is_contiguous(layout);
  auto out = given ? into : at::empty(shape, bytes.dtype(type), layout);
  const auto stored = type == at::kFloat ? cuda::Type::float32 : cuda::Type::bfloat16;
  const auto stream = c10::cuda::getCurrentCUDAStream().stream();
  cuda::load_images(
      pixels.data_ptr<uint8_t>(), pixels.numel() / image_bytes_, height, width, channels, rows.data_ptr<int64_t>(),
      recipe.moves() ? static_cast<const AugmentDraw*>(draws.data_ptr()) : nullptr, count, recipe.preprocess, stored,
      out.data_ptr(), recipe.moves() ? workspace.data_ptr<float>() : nullptr, stream);
  if (!mixed.empty()) {
    const auto shares = send(mixed.data(), count * sizeof(MixDraw));
    cuda::mix_images(stored, out.data_ptr(), count, height, width, channels,
                     static_cast<const MixDraw*>(shares.data_ptr()), stream);
  }
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

}  // namespace mnv2
