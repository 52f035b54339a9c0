// Runs CUDA kernels on the CPU, so that the shipped .cu files, launch code included, can be held
// to double precision where there is no card. Test code only: see grid.h.
//
// One block at a time; each of its threads is a fiber that runs to the next barrier. The order
// of threads within a phase is shuffled, and shared memory is poisoned before each block: a
// missing __syncthreads() or an unwritten element shows as a difference or a NaN.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

inline dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace mnv2::emulation {

constexpr size_t kStack = 64 * 1024, kGuard = 64;

struct Fiber {
  ucontext_t context;  // where it begins
  jmp_buf at;          // where it waits
  std::unique_ptr<char[]> stack{new char[kStack]};
  bool begun = false, done = false;
};

inline jmp_buf scheduler;
inline Fiber* current = nullptr;
inline const std::function<void()>* body = nullptr;
inline std::vector<uint4> shared;
inline std::mt19937 order(7);

// A jump instead of swapcontext, which asks the system for the signal mask each time: half of the tests' time.
[[gnu::noinline]] inline void barrier() {
  if (_setjmp(current->at) == 0) _longjmp(scheduler, 1);
}
[[gnu::noinline]] inline void resume(Fiber& fiber) {
  current = &fiber;
  if (_setjmp(scheduler) != 0) return;
  if (fiber.begun) _longjmp(fiber.at, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}
inline void enter() {
  (*body)();
  current->done = true;
  barrier();
}

inline void run_block(const std::function<void()>& kernel, size_t shared_bytes) {
  static std::vector<Fiber> fibers;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  if (fibers.size() < threads) fibers = std::vector<Fiber>(threads);
  const size_t words = (shared_bytes + 15) / 16;
  shared.assign(words + kGuard, uint4{0x7fc07fc0u, 0x7fc07fc0u, 0x7fc07fc0u, 0x7fc07fc0u});
  body = &kernel;
  std::vector<unsigned> turn(threads);
  for (unsigned t = 0; t < threads; ++t) {
    turn[t] = t;
    Fiber& f = fibers[t];
    f.begun = f.done = false;
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.get();
    f.context.uc_stack.ss_size = kStack;
    f.context.uc_link = nullptr;
    makecontext(&f.context, enter, 0);
  }
  for (unsigned running = threads; running > 0;) {
    std::shuffle(turn.begin(), turn.end(), order);
    unsigned left = 0;
    for (unsigned t : turn) {
      Fiber& f = fibers[t];
      if (f.done) throw std::logic_error("a thread left the kernel while others wait at a barrier");
      threadIdx = dim3(t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y));
      resume(f);
      left += !f.done;
    }
    if (left != 0 && left != running) throw std::logic_error("only some threads of a block met a barrier");
    running = left;
  }
  for (size_t i = words; i < words + kGuard; ++i)
    if (shared[i].x != 0x7fc07fc0u) throw std::logic_error("a kernel wrote past its shared memory");
}

}  // namespace mnv2::emulation

inline void __syncthreads() { mnv2::emulation::barrier(); }

namespace mnv2::cuda {

template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(emulation::shared.data());
}

// What a card of any generation from sm_80 refuses is refused here too.
template <class... Formal, class... Actual>
void launch(void (*kernel)(Formal...), dim3 grid, dim3 block, size_t shared_bytes, Stream, Actual... args) {
  const unsigned threads = block.x * block.y * block.z;
  if (threads == 0 || threads > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 ||
      shared_bytes > 48 * 1024)
    throw std::invalid_argument("not a launchable grid");
  gridDim = grid, blockDim = block;
  const std::function<void()> body = [&] { kernel(args...); };
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(x, y, z);
        emulation::run_block(body, shared_bytes);
      }
}

}  // namespace mnv2::cuda
