// A caching allocator for libtorch's CPU tensors. Owns freed blocks until asked to give them back.
//
// A training step allocates and frees over a gigabyte of activations. malloc returns such blocks to the system at
// once, and the next step pays a page fault for every 4 KiB again: measured, a third of the step.
#pragma once
#include <cstddef>

namespace mnv2 {

/** Makes it libtorch's CPU allocator, once a process. */
void install_cpu_allocator();

struct CpuMemory {
  double allocated = 0, reserved = 0, peak = 0;  // bytes in tensors of at least 64 KiB, with cached blocks, most ever
};
CpuMemory cpu_memory();

/** Returns cached blocks to the system. */
void trim_cpu_memory();

}  // namespace mnv2
