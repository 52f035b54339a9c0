// See jpeg_check.h. T.81 is ITU-T Recommendation T.81, the JPEG standard.
#include "data/jpeg_check.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "data/jpeg_codes.h"

namespace mnv2 {
namespace {

using jpeg::Bits;
using jpeg::kLargestDifference;
using jpeg::Table;

struct Component {
  int id = 0, across = 1, down = 1;  // sampling factors
  int wide = 0, high = 0;            // blocks that hold pixels
  int stride = 0;                    // blocks of a row, those that fill up the last MCU included
  int dc = 0, ac = 0;                // tables of the current scan
  std::vector<uint64_t> nonzero;     // progressive: a bit for each coefficient of each block
};

constexpr const char* kBadCode = "a code that does not exist";
constexpr const char* kLongRun = "a run past the end of a block";
constexpr const char* kEndsEarly = "the data ends early";
constexpr const char* kTooMuch = "more data than the picture has room for";

class Reader {
 public:
  Reader(const uint8_t* bytes, size_t size) : at_(bytes), end_(bytes + size) {}

  std::string damage() {
    if (end_ - at_ < 4 || at_[0] != 0xff || at_[1] != 0xd8) return "";
    at_ += 2;
    for (;;) {
      const int marker = next_marker();
      if (marker < 0 || marker == 0xd9) return "";
      if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue;  // markers without a segment
      if (end_ - at_ < 2) return "";
      const size_t length = at_[0] << 8 | at_[1];
      if (length < 2 || static_cast<size_t>(end_ - at_) < length) return "";
      const uint8_t* body = at_ + 2;
      const size_t size = length - 2;
      at_ += length;
      switch (marker) {
        case 0xc0:
        case 0xc1:
        case 0xc2:
          if (!frame(marker == 0xc2, body, size)) return "";
          break;
        case 0xc4:
          if (!tables(body, size)) return "";
          break;
        case 0xdd:
          if (size != 2) return "";
          restart_ = body[0] << 8 | body[1];
          break;
        case 0xda: {
          if (!scan_header(body, size)) return "";
          const char* wrong = scan();
          if (wrong) {
            return "damaged JPEG data near line " + std::to_string(std::min(line_ + 1, height_)) + " of " +
                   std::to_string(height_) + ": " + wrong;
          }
          break;
        }
        case 0xc3:
        case 0xc5:
        case 0xc6:
        case 0xc7:
        case 0xc9:
        case 0xca:
        case 0xcb:
        case 0xcd:
        case 0xce:
        case 0xcf: return "";  // not looked into
        default: break;
      }
    }
  }

 private:
  int next_marker() {
    while (at_ < end_) {
      at_ = static_cast<const uint8_t*>(std::memchr(at_, 0xff, end_ - at_));
      if (!at_) at_ = end_;
      while (at_ < end_ && *at_ == 0xff) at_++;
      if (at_ < end_ && *at_ != 0) return *at_++;
    }
    return -1;
  }

  bool frame(bool progressive, const uint8_t* body, size_t size) {
    if (!components_.empty() || size < 6 || body[0] != 8) return false;
    height_ = body[1] << 8 | body[2];
    const int width = body[3] << 8 | body[4], count = body[5];
    if (height_ == 0 || width == 0 || count < 1 || count > 4 || size != 6 + 3 * static_cast<size_t>(count))
      return false;
    progressive_ = progressive;
    for (int i = 0; i < count; i++) {
      Component c;
      c.id = body[6 + 3 * i], c.across = body[7 + 3 * i] >> 4, c.down = body[7 + 3 * i] & 15;
      if (c.across < 1 || c.across > 4 || c.down < 1 || c.down > 4) return false;
      most_across_ = std::max(most_across_, c.across), most_down_ = std::max(most_down_, c.down);
      components_.push_back(std::move(c));
    }
    const auto share = [](int a, int b) { return (a + b - 1) / b; };
    mcus_across_ = share(width, 8 * most_across_), mcus_down_ = share(height_, 8 * most_down_);
    for (Component& c : components_) {
      c.wide = share(share(width * c.across, most_across_), 8);
      c.high = share(share(height_ * c.down, most_down_), 8);
      c.stride = mcus_across_ * c.across;
      if (progressive) c.nonzero.assign(static_cast<size_t>(c.stride) * mcus_down_ * c.down, 0);
    }
    return true;
  }

  bool tables(const uint8_t* body, size_t size) {
    while (size >= 17) {
      const int kind = body[0] >> 4, slot = body[0] & 15;
      int total = 0;
      for (int i = 1; i <= 16; i++) total += body[i];
      if (kind > 1 || slot > 3 || total > 256 || size < 17 + static_cast<size_t>(total)) return false;
      if (!(kind == 0 ? dc_ : ac_)[slot].define(kind == 0 ? Table::kDc : Table::kAc, body + 1, body + 17, total))
        return false;
      body += 17 + total, size -= 17 + total;
    }
    return size == 0;
  }

  bool scan_header(const uint8_t* body, size_t size) {
    if (components_.empty() || size < 1) return false;
    const int count = body[0];
    if (count < 1 || count > 4 || size != 4 + 2 * static_cast<size_t>(count)) return false;
    scanned_.clear();
    from_ = body[1 + 2 * count], to_ = body[2 + 2 * count];
    refines_ = body[3 + 2 * count] >> 4 != 0;
    if (!progressive_) from_ = 0, to_ = 63, refines_ = false;
    const bool needs_dc = from_ == 0 && !refines_, needs_ac = to_ > 0;
    if (to_ > 63 || from_ > to_ || (progressive_ && (from_ == 0 ? to_ != 0 : count != 1))) return false;
    for (int i = 0; i < count; i++) {
      const int id = body[1 + 2 * i], slots = body[2 + 2 * i];
      auto c = std::find_if(components_.begin(), components_.end(), [&](const Component& x) { return x.id == id; });
      if (c == components_.end() || (slots >> 4) > 3 || (slots & 15) > 3) return false;
      c->dc = slots >> 4, c->ac = slots & 15;
      if ((needs_dc && !dc_[c->dc].defined) || (needs_ac && !ac_[c->ac].defined)) return false;
      scanned_.push_back(&*c);
    }
    return true;
  }

  /** Compressed data up to the next marker that is not padding, which becomes `marker_`. */
  Bits stretch() {
    data_.clear();
    data_.reserve(static_cast<size_t>(end_ - at_) + Bits::kPadding);
    marker_ = -1;
    while (at_ < end_) {
      const auto* mark = static_cast<const uint8_t*>(std::memchr(at_, 0xff, end_ - at_));
      if (!mark) mark = end_;
      data_.insert(data_.end(), at_, mark);
      at_ = mark;
      while (at_ < end_ && *at_ == 0xff) at_++;
      if (at_ == end_) break;
      if (*at_ != 0) {
        marker_ = *at_;
        break;
      }
      data_.push_back(0xff);
      at_++;
    }
    const size_t size = data_.size();
    data_.resize(size + Bits::kPadding);
    return Bits(data_.data(), size);
  }

  /** @return what is wrong, or nullptr; afterwards the scan's data lies behind. */
  const char* scan() {
    const bool alone = scanned_.size() == 1;
    const int across = alone ? scanned_[0]->wide : mcus_across_, down = alone ? scanned_[0]->high : mcus_down_;
    const int lines = (8 * most_down_) / (alone ? scanned_[0]->down : 1);
    const int64_t total = static_cast<int64_t>(across) * down, interval = restart_ ? restart_ : total;
    line_ = 0;
    for (int64_t mcu = 0, restarts = 0; mcu < total; restarts++) {
      if (restarts > 0) {
        if (marker_ != 0xd0 + static_cast<int>((restarts - 1) % 8)) return "a restart marker is missing";
        at_++;
      }
      Bits bits = stretch();
      end_of_band_ = 0;
      for (const int64_t end = std::min(mcu + interval, total); mcu < end; mcu++) {
        const int y = static_cast<int>(mcu / across), x = static_cast<int>(mcu % across);
        line_ = y * lines;
        if (const char* wrong = alone ? block(bits, *scanned_[0], y, x) : unit(bits, y, x)) return wrong;
      }
      if (bits.overrun()) return kEndsEarly;
      if (end_of_band_ > 0) return kLongRun;
      if (left_over(bits)) return kTooMuch;
    }
    if (marker_ >= 0xd0 && marker_ <= 0xd7) {
      at_++;
      if (left_over(stretch())) return kTooMuch;
    }
    // The marker is found again from its first byte.
    if (marker_ >= 0) at_--;
    return nullptr;
  }

  /** Encoders pad to whole bytes, some to whole words: with zeros or ones. */
  bool left_over(const Bits& bits) const {
    const auto from = data_.begin() + (bits.consumed() + 7) / 8, to = data_.end() - Bits::kPadding;
    return std::any_of(from, to, [](uint8_t b) { return b != 0 && b != 0xff; });
  }

  const char* unit(Bits& bits, int y, int x) {
    for (Component* c : scanned_) {
      for (int v = 0; v < c->down; v++) {
        for (int h = 0; h < c->across; h++) {
          if (const char* wrong = block(bits, *c, y * c->down + v, x * c->across + h)) return wrong;
        }
      }
    }
    return nullptr;
  }

  const char* block(Bits& bits, Component& c, int y, int x) {
    if (bits.overrun()) return kEndsEarly;
    if (!progressive_) {
      const char* wrong = dc_first(bits, dc_[c.dc]);
      return wrong ? wrong : ac_sequential(bits, ac_[c.ac]);
    }
    if (from_ == 0) {
      if (!refines_) return dc_first(bits, dc_[c.dc]);
      bits.skip_many(1);
      return nullptr;
    }
    uint64_t& nonzero = c.nonzero[static_cast<size_t>(y) * c.stride + x];
    return refines_ ? ac_refined(bits, ac_[c.ac], nonzero) : ac_first(bits, ac_[c.ac], nonzero);
  }

  static const char* dc_first(Bits& bits, const Table& table) {
    bits.refill();
    const Table::Step step = table.steps[bits.peek(Table::kLook)];
    if (step.advance != Table::kSlow) {
      bits.skip(step.bits);
      return nullptr;
    }
    const int size = table.symbol(bits);
    if (size < 0 || size > kLargestDifference) return kBadCode;
    bits.skip(size);
    return nullptr;
  }

  static const char* ac_sequential(Bits& bits, const Table& table) {
    int k = 1;
    while (k < 64) {
      bits.refill();
      // Two steps of at most 25 bits each need one refill.
      Table::Step step = table.steps[bits.peek(Table::kLook)];
      bits.skip(step.advance == Table::kSlow ? 0 : step.bits);
      k += step.advance;
      if (step.advance != Table::kSlow && k < 64) {
        step = table.steps[bits.peek(Table::kLook)];
        bits.skip(step.advance == Table::kSlow ? 0 : step.bits);
        k += step.advance;
      }
      if (step.advance != Table::kSlow) continue;
      bits.refill();
      const int symbol = table.symbol(bits);
      if (symbol < 0) return kBadCode;
      if (symbol == 0) return nullptr;
      if ((symbol & 15) == 0 && symbol != 0xf0) return kBadCode;
      bits.skip(symbol & 15);
      k += (symbol >> 4) + 1;
    }
    return k == 64 || k >= Table::kEndOfBlock ? nullptr : kLongRun;
  }

  /** T.81 G.1.2.2 */
  const char* ac_first(Bits& bits, const Table& table, uint64_t& nonzero) {
    if (end_of_band_ > 0) {
      end_of_band_--;
      return nullptr;
    }
    for (int k = from_; k <= to_; k++) {
      bits.refill();
      const int symbol = table.symbol(bits);
      if (symbol < 0) return kBadCode;
      const int run = symbol >> 4, size = symbol & 15;
      if (size == 0 && run < 15) {
        end_of_band_ = (1 << run) + static_cast<int>(bits.take(run)) - 1;
        return nullptr;
      }
      k += run;
      if (k > to_) return kLongRun;
      if (size == 0) continue;
      bits.skip(size);
      nonzero |= uint64_t{1} << k;
    }
    return nullptr;
  }

  /** T.81 G.1.2.3: coefficients that are not zero get a bit each as they are passed. */
  const char* ac_refined(Bits& bits, const Table& table, uint64_t& nonzero) {
    int k = from_;
    for (; end_of_band_ == 0 && k <= to_; k++) {
      bits.refill();
      const int symbol = table.symbol(bits);
      if (symbol < 0) return kBadCode;
      int run = symbol >> 4;
      const int size = symbol & 15;
      if (size > 1) return kBadCode;
      if (size == 0 && run < 15) {
        end_of_band_ = (1 << run) + static_cast<int>(bits.take(run));
        break;
      }
      bits.skip(size);
      int corrections = 0;
      for (; k <= to_; k++) {
        if (nonzero >> k & 1)
          corrections++;
        else if (--run < 0)
          break;
      }
      bits.skip_many(corrections);
      if (k > to_) return kLongRun;
      if (size == 1) nonzero |= uint64_t{1} << k;
    }
    if (end_of_band_ > 0) {
      if (k <= to_) bits.skip_many(__builtin_popcountll(nonzero >> k << (63 - to_ + k)));
      end_of_band_--;
    }
    return nullptr;
  }

  const uint8_t *at_, *end_;
  std::vector<uint8_t> data_;
  std::array<Table, 4> dc_, ac_;
  std::vector<Component> components_;
  int height_ = 0, mcus_across_ = 0, mcus_down_ = 0, most_across_ = 1, most_down_ = 1;
  bool progressive_ = false;
  int restart_ = 0;
  // of the current scan
  std::vector<Component*> scanned_;
  int from_ = 0, to_ = 0;
  bool refines_ = false;
  int end_of_band_ = 0, marker_ = -1, line_ = 0;
};

}  // namespace

std::string jpeg_damage(const uint8_t* bytes, size_t size) { return Reader(bytes, size).damage(); }

}  // namespace mnv2
