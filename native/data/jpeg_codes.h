// What a JPEG's compressed data is made of: bits without stuffing, and Huffman codes. Names and figures (T.81): ITU-T
// Recommendation T.81, the JPEG standard.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mnv2::jpeg {

/** Bits of a stretch of compressed data, byte stuffing undone, followed by kPadding zero bytes. */
class Bits {
 public:
  /** More than one block can take, 64 codes of at most 31 bits, and one refill. */
  static constexpr size_t kPadding = 512;

  Bits(const uint8_t* data, size_t size) : begin_(data), at_(data), size_(size) {}

  /** At least 56 bits are ready afterwards. */
  void refill() {
    uint64_t next;
    std::memcpy(&next, at_, 8);
    ready_ |= __builtin_bswap64(next) >> count_;
    at_ += (63 - count_) >> 3;
    count_ |= 56;
  }
  uint32_t peek(int n) const { return static_cast<uint32_t>(ready_ >> (64 - n)); }
  void skip(int n) {
    ready_ <<= n;
    count_ -= n;
  }
  uint32_t take(int n) {
    if (n == 0) return 0;
    const uint32_t value = peek(n);
    skip(n);
    return value;
  }
  /** For more bits than a refill brings. */
  void skip_many(int n) {
    for (; n > 0; n -= 32) {
      refill();
      skip(std::min(n, 32));
    }
  }
  int64_t consumed() const { return (at_ - begin_) * 8 - count_; }
  bool overrun() const { return consumed() > static_cast<int64_t>(size_) * 8; }

 private:
  const uint8_t *begin_, *at_;
  size_t size_;
  uint64_t ready_ = 0;
  int count_ = 0;
};

/** Bits of the largest difference between two DC coefficients of 8-bit samples (T.81 table F.1). */
inline constexpr int kLargestDifference = 11;

/** A Huffman table: symbols by code (T.81 C.2), and for short codes what a sequential scan does with the symbol. */
struct Table {
  enum Kind { kDc, kAc };
  static constexpr int kLook = 10;
  /** advances of a step: a code that is longer than kLook, does not exist or means nothing; the end of the block */
  static constexpr int kSlow = 0, kEndOfBlock = 128;
  struct Step {
    uint8_t bits = 0;         // code and value: at most kLook + 15
    uint8_t advance = kSlow;  // coefficients
  };

  bool defined = false;
  std::array<uint8_t, 256> symbols{};
  std::array<int32_t, 17> end{}, offset{};  // by code length
  std::array<Step, 1 << kLook> steps{};

  /** @return false for counts that no prefix code has */
  bool define(Kind kind, const uint8_t* counts, const uint8_t* values, int total) {
    std::copy(values, values + total, symbols.begin());
    steps.fill(Step{});
    int32_t code = 0, index = 0;
    for (int length = 1; length <= 16; length++, code <<= 1) {
      offset[length] = index - code;
      for (int i = 0; i < counts[length - 1]; i++, code++, index++) {
        if (code >= 1 << length) return false;
        if (length <= kLook)
          std::fill_n(steps.begin() + (code << (kLook - length)), 1 << (kLook - length), step(kind, length, index));
      }
      end[length] = code;
    }
    return defined = true;
  }

  /** The next symbol, or -1 for a code that does not exist. The bits must have been refilled. */
  int symbol(Bits& bits) const {
    const uint32_t next = bits.peek(16);
    for (int length = 1; length <= 16; length++) {
      const int32_t code = static_cast<int32_t>(next >> (16 - length));
      if (code >= end[length]) continue;
      bits.skip(length);
      return symbols[code + offset[length]];
    }
    return -1;
  }

 private:
  Step step(Kind kind, int length, int index) const {
    const int symbol = symbols[index], run = symbol >> 4, size = symbol & 15;
    Step s;
    s.bits = static_cast<uint8_t>(length + size);
    if (kind == kDc)
      s.advance = symbol <= kLargestDifference ? 1 : kSlow;
    else if (size == 0 && run == 0)
      s.advance = kEndOfBlock;
    else if (size != 0 || run == 15)
      s.advance = static_cast<uint8_t>(run + 1);
    return s;
  }
};

}  // namespace mnv2::jpeg
