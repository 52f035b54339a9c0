// Seeds made of several coordinates. Results depend on these very numbers: the same seeds, the same training.
// Free of torch and of N-API.
#pragma once
#include <cstdint>

namespace mnv2 {

/** splitmix64's finaliser (Steele, Lea, Flood 2014): a bijection that spreads every input bit over the output. */
inline uint64_t splitmix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/** Counter-based random numbers of one place: number `slot` depends on the coordinates and on itself alone. */
class Stream {
 public:
  Stream(uint64_t a, uint64_t b, uint64_t c) : key_(splitmix(splitmix(splitmix(a) ^ b) ^ c)) {}
  uint64_t bits(uint64_t slot) const { return splitmix(key_ ^ splitmix(slot)); }
  /** uniform in [0, 1) */
  double unit(uint64_t slot) const { return static_cast<double>(bits(slot) >> 11) * 0x1p-53; }
  /** uniform in [low, high) */
  float between(uint64_t slot, float low, float high) const {
    return low + (high - low) * static_cast<float>(unit(slot));
  }

 private:
  const uint64_t key_;
};

/** Seeds the generator of one random op in one step; one odd multiplier a coordinate keeps triples apart. */
inline uint64_t op_seed(uint64_t seed, uint64_t step, uint64_t node) {
  return ((seed + 1) * 0x9E3779B97F4A7C15ull) ^ ((step + 1) * 0xC2B2AE3D27D4EB4Full) ^
         ((node + 1) * 0x165667B19E3779F9ull);
}

}  // namespace mnv2
