// See allocator.h.
#include "device/allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace mnv2 {
namespace {

constexpr size_t kHeader = 64;       // keeps what follows aligned for AVX-512
constexpr size_t kSmall = 64 << 10;  // below this malloc is as good
constexpr size_t kHuge = 2 << 20;    // a huge page

struct Header {
  size_t size;  // of the whole block, 0: straight from malloc
};

/** Eight classes a doubling: at most an eighth is wasted, and a last batch finds the full batch's blocks. */
size_t size_class(size_t n) {
  size_t step = kSmall / 8;
  while (step * 16 <= n) step *= 2;
  return (n + step - 1) / step * step;
}

class Cache {
 public:
  void* take(size_t n) {
    const size_t size = size_class(n + kHeader);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      allocated_ += size;
      auto& list = free_[size];
      if (!list.empty()) {
        void* block = list.back();
        list.pop_back();
        return block;
      }
      reserved_ += size;
      peak_ = std::max(peak_, reserved_);
    }
    void* block = fresh(size);
    if (!block) {  // cached blocks of other sizes may be all that is in the way
      trim();
      block = fresh(size);
    }
    if (!block) {
      std::lock_guard<std::mutex> lock(mutex_);
      allocated_ -= size, reserved_ -= size;
    }
    return block;
  }

  void give(void* block, size_t size) {
    std::lock_guard<std::mutex> lock(mutex_);
    allocated_ -= size;
    free_[size].push_back(block);
  }

  void trim() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [size, list] : free_) {
      for (void* block : list) std::free(block);
      reserved_ -= size * list.size();
      list.clear();
    }
  }

  CpuMemory usage() {
    std::lock_guard<std::mutex> lock(mutex_);
    return {static_cast<double>(allocated_), static_cast<double>(reserved_), static_cast<double>(peak_)};
  }

 private:
  static void* fresh(size_t size) {
    void* block = nullptr;
    if (posix_memalign(&block, size >= kHuge ? kHuge : kHeader, size) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
    if (size >= 2 * kHuge) madvise(block, size, MADV_HUGEPAGE);
#endif
    return block;
  }

  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;
  size_t allocated_ = 0, reserved_ = 0, peak_ = 0;
};

/** Never destroyed: tensors may outlive static destruction. */
Cache& cache() {
  static auto* instance = new Cache();
  return *instance;
}

void release(void* data) {
  if (!data) return;
  void* block = static_cast<char*>(data) - kHeader;
  const size_t size = static_cast<Header*>(block)->size;
  if (size == 0)
    std::free(block);
  else
    cache().give(block, size);
}

void* obtain(size_t n) {
  if (n == 0) return nullptr;
  void* block = nullptr;
  size_t size = 0;
  if (n < kSmall) {
    if (posix_memalign(&block, kHeader, n + kHeader) != 0) block = nullptr;
  } else {
    size = size_class(n + kHeader);
    block = cache().take(n);
  }
  TORCH_CHECK(block != nullptr, "not enough memory: tried to allocate ", n, " bytes on the CPU.");
  static_cast<Header*>(block)->size = size;
  return static_cast<char*>(block) + kHeader;
}

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
#define MNV2_ALLOCATE_CONST
#else
#define MNV2_ALLOCATE_CONST const
#endif

class CachingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t n) MNV2_ALLOCATE_CONST override {
    void* data = obtain(n);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
#if TORCH_VERSION_MAJOR >= 2
  void copy_data(void* to, const void* from, std::size_t count) const
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 3
      override
#endif
  {
    std::memcpy(to, from, count);
  }
#endif
};

}  // namespace

void install_cpu_allocator() {
  static CachingAllocator allocator;
  static const bool done = (c10::SetCPUAllocator(&allocator, 100), true);
  (void)done;
}

CpuMemory cpu_memory() { return cache().usage(); }
void trim_cpu_memory() { cache().trim(); }

}  // namespace mnv2
