// What the int8 kernels ask of a kind of CPU, and the layouts that both sides know. Not for use outside of
// kernels/quantised*.
//
// Channels go in blocks of 16, the spare ones of the last block zero weights. Inside a block of convolutions, pixels of
// a row go in groups of four, 64 bytes a group and block of channels:
//   wide  [16 channels][4 pixels]: one 32-bit lane has what a depthwise window reads of one channel;
//   mid   [4 quads of channels][4 pixels][4 channels]: one 32-bit lane has four products of one pixel.
// Weights of a dense convolution: [row of the kernel][quad of products][channel][4 products]; of a depthwise one, for
// each register of channels: 3 rows x 4 outputs, each split over the one or two groups it reads (window_parts).
// A path without an instruction for four products keeps the even and the odd ones of a register apart, as int16.
#pragma once

#include <cstdint>

#include "kernels/quantised.h"

namespace mnv2 {

constexpr int64_t kBlock = 16;  // channels
constexpr int64_t kGroup = 4;   // pixels

// m pixels x one panel of channels.
struct QuantisedTiles {
  enum class To { wide, pixels, floats };
  const uint8_t* a;
  int64_t pixel;  // bytes from a pixel to the next; 0: `a` is laid out as mid, m0 a multiple of kGroup
  int64_t m, k_blocks, quads, k_stride;
  const int8_t* b;
  const int32_t* bias;
  const float* multiplier;
  int64_t blocks;
  int32_t zero, lo, hi;  // of the output
  To to;
  void* y;
  int64_t y_step;  // wide: bytes from a block to the next; otherwise elements from a pixel to the next
  int64_t lanes;   // channels there are; wide: not used
};

// One row of one block of a depthwise convolution: groups of four outputs.
struct QuantisedWindow {
  const uint8_t* rows[3];  // wide, from the group before the image's first on
  const int8_t* taps;
  const int32_t* bias;
  const float* multiplier;
  int64_t groups, stride, left;
  int32_t zero, lo, hi;
  uint8_t* y;
};

struct QuantisedPath {
  const char* name;
  int64_t lanes;  // int32 in a register
  bool split;     // weights as even and odd int16
  void (*dense)(const QuantisedTiles&);
  void (*depthwise)(const QuantisedWindow&);
  // Channels [0, lanes) of `groups` x 4 pixels, a pixel C bytes after the other, to a block of wide.
  void (*widen)(const uint8_t* from, int64_t groups, int64_t C, uint8_t* to);

  int64_t register_bytes() const { return lanes * (split ? 8 : 4); }
  // Puts four weights of a lane into a register's place.
  void place(const int8_t four[4], int64_t lane, int8_t* at) const;
};

// Where output `j` of four reads its first column: in the wide row whose image begins at column 4.
constexpr int64_t window_start(int64_t stride, int64_t left, int64_t j) { return stride * j + kGroup - left; }
// A window that begins at the third or fourth column of a group reads the next one too.
constexpr int64_t window_parts(int64_t start) { return start % kGroup > 1 ? 2 : 1; }
constexpr int64_t kWindowParts = 6;  // of four outputs, for any stride and padding

}  // namespace mnv2
