// A register of an x86 CPU, for quantised_isa.h: MNV2_BITS wide (512, 256, 128), with an instruction for four products
// (MNV2_DOT(sum, activations, weights)) or without. No include guard: included once for every path.
#if MNV2_BITS == 512
#define MNV2_OP(name) _mm512_##name
#define MNV2_BITWISE(name) _mm512_##name##_si512
using ivec = __m512i;
using fvec = __m512;
#elif MNV2_BITS == 256
#define MNV2_OP(name) _mm256_##name
#define MNV2_BITWISE(name) _mm256_##name##_si256
using ivec = __m256i;
using fvec = __m256;
#else
#define MNV2_OP(name) _mm_##name
#define MNV2_BITWISE(name) _mm_##name##_si128
using ivec = __m128i;
using fvec = __m128;
#endif

static constexpr int64_t kLanes = MNV2_BITS / 32;

static MNV2_HOT ivec load(const void* p) { return MNV2_BITWISE(loadu)(static_cast<const ivec*>(p)); }
static MNV2_HOT void store(void* p, ivec v) { MNV2_BITWISE(storeu)(static_cast<ivec*>(p), v); }
static MNV2_HOT fvec load_floats(const float* p) { return MNV2_OP(loadu_ps)(p); }
static MNV2_HOT ivec spread16(int32_t v) { return MNV2_OP(set1_epi16)(static_cast<int16_t>(v)); }
static MNV2_HOT ivec spread8(int32_t v) { return MNV2_OP(set1_epi8)(static_cast<int8_t>(v)); }
static MNV2_HOT ivec spread32(const uint8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return MNV2_OP(set1_epi32)(four);
}

#ifdef MNV2_DOT
static constexpr int64_t kRegister = 4 * kLanes;  // bytes of a register of weights
using avec = ivec;
using wvec = ivec;
static MNV2_HOT avec spread(const uint8_t* p) { return spread32(p); }
static MNV2_HOT avec columns(const uint8_t* p) { return load(p); }
static MNV2_HOT wvec weights(const int8_t* p) { return load(p); }
template <int Columns>
static MNV2_HOT ivec dot(ivec sum, avec x, wvec w) {
  return MNV2_DOT(sum, x, w);
}
#else
// Even and odd bytes as int16: two multiplications by pairs, whose sums fit.
static constexpr int64_t kRegister = 8 * kLanes;
struct avec {
  ivec even, odd;
};
struct wvec {
  ivec even, odd;
};
static MNV2_HOT avec halves(ivec v) { return {MNV2_BITWISE (and)(v, spread16(0xff)), MNV2_OP(srli_epi16)(v, 8)}; }
static MNV2_HOT avec spread(const uint8_t* p) { return halves(spread32(p)); }
static MNV2_HOT avec columns(const uint8_t* p) { return halves(load(p)); }
static MNV2_HOT wvec weights(const int8_t* p) { return {load(p), load(p + kRegister / 2)}; }
template <int Columns>
static MNV2_HOT ivec dot(ivec sum, avec x, wvec w) {
  if (Columns & 1) sum = MNV2_OP(add_epi32)(sum, MNV2_OP(madd_epi16)(x.even, w.even));
  if (Columns & 2) sum = MNV2_OP(add_epi32)(sum, MNV2_OP(madd_epi16)(x.odd, w.odd));
  return sum;
}
#endif

static MNV2_HOT fvec scale(ivec sum, fvec multiplier) { return MNV2_OP(mul_ps)(MNV2_OP(cvtepi32_ps)(sum), multiplier); }

// Rounds half to even, as the CPU is set; both packings saturate.
static MNV2_HOT ivec to_bytes(fvec a, fvec b, fvec c, fvec d, ivec zero) {
  const ivec ab = MNV2_OP(packs_epi32)(MNV2_OP(cvtps_epi32)(a), MNV2_OP(cvtps_epi32)(b));
  const ivec cd = MNV2_OP(packs_epi32)(MNV2_OP(cvtps_epi32)(c), MNV2_OP(cvtps_epi32)(d));
  return MNV2_OP(packus_epi16)(MNV2_OP(adds_epi16)(ab, zero), MNV2_OP(adds_epi16)(cd, zero));
}
static MNV2_HOT ivec clamp_bytes(ivec v, ivec lo, ivec hi) { return MNV2_OP(min_epu8)(MNV2_OP(max_epu8)(v, lo), hi); }

// [pixel][channel] to [channel][pixel], four each, in every 128 bits.
static MNV2_HOT ivec transpose(ivec v) {
#if MNV2_BITS == 512
  return _mm512_shuffle_epi8(
      v, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
#elif MNV2_BITS == 256
  return _mm256_shuffle_epi8(
      v, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
#else
  v = _mm_unpacklo_epi8(v, _mm_unpackhi_epi64(v, v));
  return _mm_unpacklo_epi8(v, _mm_unpackhi_epi64(v, v));
#endif
}

// Bytes `from` to 3 of every four become `value`.
static MNV2_HOT ivec replace(ivec v, int64_t from, int32_t value) {
  const ivec keep = MNV2_OP(set1_epi32)((1 << 8 * from) - 1);
  return MNV2_BITWISE(or)(MNV2_BITWISE (and)(v, keep), MNV2_BITWISE(andnot)(keep, spread8(value)));
}

// [4 channels of each pixel] in every 128 bits to `count` pixels, `step` bytes apart; `lanes`: channels there are.
static MNV2_HOT void put_pixels(uint8_t* y, int64_t step, ivec v, int64_t count, int64_t lanes) {
#if MNV2_BITS == 512
  v = _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
#elif MNV2_BITS == 256
  v = _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
#endif
  if (lanes == kLanes && count == 4) {
#if MNV2_BITS == 512
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), _mm512_castsi512_si128(v));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + step), _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + 2 * step), _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + 3 * step), _mm512_extracti32x4_epi32(v, 3));
    return;
#elif MNV2_BITS == 256
    const __m128i low = _mm256_castsi256_si128(v), high = _mm256_extracti128_si256(v, 1);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y), low);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y + step), _mm_unpackhi_epi64(low, low));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y + 2 * step), high);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y + 3 * step), _mm_unpackhi_epi64(high, high));
    return;
#endif
  }
  alignas(64) uint8_t bytes[4 * kLanes];
  store(bytes, v);
  for (int p = 0; p < count; p++) {
    if (lanes == kLanes)
      __builtin_memcpy(y + p * step, bytes + p * kLanes, kLanes);
    else
      for (int64_t c = 0; c < lanes; c++) y[p * step + c] = bytes[p * kLanes + c];
  }
}

static MNV2_HOT void put_floats(float* y, fvec v, int64_t lanes) {
  if (lanes == kLanes) return MNV2_OP(storeu_ps)(y, v);
  alignas(64) float floats[kLanes];
  MNV2_OP(storeu_ps)(floats, v);
  for (int64_t c = 0; c < lanes; c++) y[c] = floats[c];
}

// A block of 16 channels of four pixels is four times 128 bits on any x86 CPU.
static void widen_groups(const uint8_t* from, int64_t groups, int64_t C, uint8_t* to) {
  for (int64_t g = 0; g < groups; g++, from += 4 * C, to += 4 * kBlock) {
    __m128i p[4];
    for (int i = 0; i < 4; i++) p[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * C));
    const __m128i ab = _mm_unpacklo_epi8(p[0], p[1]), cd = _mm_unpacklo_epi8(p[2], p[3]);
    const __m128i ab_high = _mm_unpackhi_epi8(p[0], p[1]), cd_high = _mm_unpackhi_epi8(p[2], p[3]);
    __m128i* const y = reinterpret_cast<__m128i*>(to);
    _mm_storeu_si128(y, _mm_unpacklo_epi16(ab, cd));
    _mm_storeu_si128(y + 1, _mm_unpackhi_epi16(ab, cd));
    _mm_storeu_si128(y + 2, _mm_unpacklo_epi16(ab_high, cd_high));
    _mm_storeu_si128(y + 3, _mm_unpackhi_epi16(ab_high, cd_high));
  }
}
