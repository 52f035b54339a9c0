// How a depthwise separable block is cut, whatever its numbers are: into panels of channels that share a register tile,
// and into pieces of an image that stay in cache and keep every thread busy. Owns no arithmetic; separable.cc and
// quantised.cc say what a row is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/loops.h"

namespace mnv2 {

// Blocks of 16 output channels that a register tile covers, and where their weights begin.
struct BlockPanel {
  int64_t block, blocks;
  int64_t weights;
};
constexpr int64_t kPanel = 3;  // blocks of the largest

inline int64_t up(int64_t count, int64_t unit) { return (count + unit - 1) / unit; }

// Panels of three blocks, or two: both halves are cut alike, so that two threads share a layer evenly.
inline std::vector<BlockPanel> cut_panels(int64_t blocks, int64_t weights_of_block) {
  std::vector<BlockPanel> panels;
  const int64_t half = blocks >= 4 && blocks % 2 == 0 ? blocks / 2 : blocks;
  for (int64_t block = 0; block < blocks;) {
    const int64_t left = (block < half ? half : blocks) - block, take = left == 4 ? 2 : std::min(left, kPanel);
    panels.push_back({block, take, block * weights_of_block});
    block += take;
  }
  return panels;
}

inline int64_t outputs(int64_t size, int64_t before, int64_t after, int64_t kernel, int64_t stride) {
  const int64_t room = size + before + after - kernel;
  return room < 0 ? 0 : room / stride + 1;
}

// The size of what a convolution makes of an image.
template <class Size, class Conv>
Size convolved(Size in, const Conv& c) {
  return {outputs(in.H, c.top, c.bottom, c.size, c.stride), outputs(in.W, c.left, c.right, c.size, c.stride)};
}

// Whether a dense convolution reads more of its input than a pixel at a time, in its order.
template <class Conv>
bool reads_windows(const Conv& c) {
  return c.size > 1 || c.stride > 1 || c.top || c.left || c.bottom || c.right;
}

// Throws std::invalid_argument for convolutions that are no block.
template <class Conv>
void check_block(const std::string& kind, const Conv* dense, const Conv* depthwise, const Conv& pointwise) {
  auto require = [&](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(kind + ": " + what);
  };
  require(!dense || depthwise, "a dense convolution comes before a depthwise one");
  require(!reads_windows(pointwise) && pointwise.size == 1 && pointwise.stride == 1,
          "the pointwise convolution is 1x1, stride 1, without padding");
  if (depthwise) {
    const auto& d = *depthwise;
    require(d.size == 3 && (d.stride == 1 || d.stride == 2) && d.in == d.out && d.out == pointwise.in,
            "the depthwise convolution is 3x3 of stride 1 or 2");
    for (int64_t pad : {d.top, d.left, d.bottom, d.right}) require(pad >= 0 && pad <= 2, "pads are 0 to 2");
  }
  if (dense) {
    require(dense->out == depthwise->in && dense->size >= 1 && dense->stride >= 1,
            "the dense convolution feeds the depthwise one");
    require(dense->top >= 0 && dense->left >= 0 && dense->bottom >= 0 && dense->right >= 0, "pads are not negative");
  }
}

// A thread's own memory, kept between calls; contents do not matter, it begins on a cache line.
template <class Unit>
class Scratch {
 public:
  Unit* take(int64_t count) {
    if (count > size_) {
      memory_.reset(new Unit[count + kLine]);
      size_ = count;
    }
    return memory_.get() + (64 - reinterpret_cast<uintptr_t>(memory_.get()) % 64) % 64 / sizeof(Unit);
  }

 private:
  static constexpr int64_t kLine = 64 / sizeof(Unit);
  std::unique_ptr<Unit[]> memory_;
  int64_t size_ = 0;
};

// One call of a block with a depthwise convolution. Where a whole image's depthwise output fits the cache, one panel of
// channels at a time is made wide for the whole image and convolved, and the pointwise convolution follows; larger
// images go a few output rows at a time, over a ring of wide rows. One large image is shared by threads as strips of
// rows, a small one by panels of channels, with one meeting in between; of a batch every thread takes images.
//
// `Run` has
//   stage(n, begin, end)                     input for the wide rows [begin, end)
//   widen_row(n, h, staged, panel, to, stride)   a panel of wide row h, its blocks `stride` apart
//   depthwise_row(block, rows, to)           a row of one block
//   project(mid, n, r, count)                `count` rows of mid, the first output row r's, through all panels
//   project_shared(mid, n, threads, parallel)    a whole image's, on all threads
// wide: [block][row], mid: [block][row], of Units.
template <class Run, class Unit>
class BlockCut {
 public:
  struct Cut {
    const std::vector<BlockPanel>& panels;  // of wide's channels
    int64_t mid_blocks;
    int64_t stride, top;    // of the depthwise convolution
    int64_t rows, columns;  // of the output
    int64_t wide_rows;
    int64_t row, mid_row;  // Units of a row of one block
    int64_t cache;         // bytes of one core's L2 that mid may take
  };

  struct Memory {
    Scratch<Unit> staged, wide, mid;
  };
  static Memory& memory() {
    static thread_local Memory own;
    return own;
  }

  // Whole images for every thread; what is left over is shared, unless it keeps most of them busy.
  void images(int64_t N, int threads, const Parallel& parallel) const {
    const int64_t left = N % threads, alone = 2 * left > threads ? N : N - left;
    parallel(alone, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; n++) rows(n, 0, cut_.rows);
    });
    for (int64_t n = alone; n < N; n++) shared(n, threads, parallel);
  }

 protected:
  explicit BlockCut(const Cut& cut) : cut_(cut) {}

 private:
  static constexpr int64_t kRingPixels = 112;  // output pixels a step of the ring makes
  static constexpr int64_t kStripRows = 14;    // from this height on an image is shared by rows

  const Run& run() const { return static_cast<const Run&>(*this); }
  int64_t mid_units(int64_t rows) const { return cut_.mid_blocks * rows * cut_.mid_row; }
  int64_t first_row(int64_t r) const { return r * cut_.stride - cut_.top; }
  // One past the last wide row that output row r - 1 reads.
  int64_t end_row(int64_t r) const { return first_row(r - 1) + 3; }

  // Output rows [r0, r1) of image n for panels [p0, p1), into mid. The panels' wide rows share one place.
  void by_panels(int64_t n, int64_t r0, int64_t r1, int64_t p0, int64_t p1, Unit* mid) const {
    const int64_t row = cut_.row, begin = first_row(r0), end = end_row(r1), stride = (end - begin) * row;
    const auto staged = run().stage(n, std::max<int64_t>(begin, 0), std::min(end, cut_.wide_rows));
    Unit* const w = memory().wide.take(kPanel * stride);
    for (int64_t p = p0; p < p1; p++) {
      const auto& panel = cut_.panels[p];
      for (int64_t h = begin; h < end; h++) run().widen_row(n, h, staged, panel, w + (h - begin) * row, stride);
      for (int64_t i = 0; i < panel.blocks; i++)
        for (int64_t r = r0; r < r1; r++) {
          const Unit* top = w + i * stride + (first_row(r) - begin) * row;
          const Unit* rows[3] = {top, top + row, top + 2 * row};
          run().depthwise_row(panel.block + i, rows, mid + ((panel.block + i) * (r1 - r0) + r - r0) * cut_.mid_row);
        }
    }
  }

  // Output rows [r0, r1) of image n, a few at a time, all panels' wide rows kept in a ring.
  void by_rows(int64_t n, int64_t r0, int64_t r1) const {
    const int64_t step = std::max<int64_t>(1, kRingPixels / cut_.columns), ring = (step - 1) * cut_.stride + 3,
                  stride = ring * cut_.row, begin = first_row(r0);
    Unit* const w = memory().wide.take(cut_.mid_blocks * stride);
    Unit* const mid = memory().mid.take(mid_units(step));
    auto place = [&](int64_t h) { return w + (h - begin) % ring * cut_.row; };
    for (int64_t r = r0, h = begin; r < r1; r += step) {
      const int64_t count = std::min(step, r1 - r), end = end_row(r + count);
      const auto staged = run().stage(n, std::max<int64_t>(h, 0), std::min(end, cut_.wide_rows));
      for (const auto& panel : cut_.panels) {
        for (int64_t i = h; i < end; i++) run().widen_row(n, i, staged, panel, place(i) + panel.block * stride, stride);
        for (int64_t block = panel.block; block < panel.block + panel.blocks; block++)
          for (int64_t k = 0; k < count; k++) {
            const int64_t top = first_row(r + k);
            const Unit* rows[3] = {place(top) + block * stride, place(top + 1) + block * stride,
                                   place(top + 2) + block * stride};
            run().depthwise_row(block, rows, mid + (block * count + k) * cut_.mid_row);
          }
      }
      h = end;
      run().project(mid, n, r, count);
    }
  }

  // Output rows [r0, r1) of image n, on the calling thread.
  void rows(int64_t n, int64_t r0, int64_t r1) const {
    if (r0 >= r1) return;
    const int64_t units = mid_units(r1 - r0);
    if (units * static_cast<int64_t>(sizeof(Unit)) > cut_.cache) return by_rows(n, r0, r1);
    Unit* const mid = memory().mid.take(units);
    by_panels(n, r0, r1, 0, static_cast<int64_t>(cut_.panels.size()), mid);
    run().project(mid, n, r0, r1 - r0);
  }

  // Image n, on all threads.
  void shared(int64_t n, int threads, const Parallel& parallel) const {
    if (cut_.rows >= kStripRows) {
      parallel(threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) rows(n, cut_.rows * i / threads, cut_.rows * (i + 1) / threads);
      });
      return;
    }
    Unit* const mid = memory().mid.take(mid_units(cut_.rows));
    parallel(cut_.panels.size(), [&](int64_t begin, int64_t end) { by_panels(n, 0, cut_.rows, begin, end, mid); });
    run().project_shared(mid, n, threads, parallel);
  }

  const Cut cut_;
};

}  // namespace mnv2
