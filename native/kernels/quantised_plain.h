// A register where no instructions are known, for quantised_isa.h: four lanes in plain C++.
static constexpr int64_t kLanes = 4;
static constexpr int64_t kRegister = 16;

struct ivec {
  union {
    int32_t lane[4];
    uint8_t byte[16];
    int8_t weight[16];
  };
};
struct fvec {
  float lane[4];
};
using avec = ivec;
using wvec = ivec;

static MNV2_HOT ivec load(const void* p) {
  ivec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static MNV2_HOT void store(void* p, ivec v) { __builtin_memcpy(p, &v, sizeof v); }
static MNV2_HOT fvec load_floats(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
static MNV2_HOT ivec spread16(int32_t v) { return {{{v, v, v, v}}}; }
static MNV2_HOT ivec spread8(int32_t v) { return {{{v, v, v, v}}}; }
static MNV2_HOT avec spread(const uint8_t* p) {
  ivec v;
  for (int i = 0; i < 4; i++) __builtin_memcpy(&v.lane[i], p, 4);
  return v;
}
static MNV2_HOT avec columns(const uint8_t* p) { return load(p); }
static MNV2_HOT wvec weights(const int8_t* p) { return load(p); }

template <int Columns>
static MNV2_HOT ivec dot(ivec sum, const avec& x, const wvec& w) {
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < 4; k++) sum.lane[i] += x.byte[4 * i + k] * w.weight[4 * i + k];
  return sum;
}

static MNV2_HOT fvec scale(const ivec& sum, const fvec& multiplier) {
  fvec v;
  for (int i = 0; i < 4; i++) v.lane[i] = static_cast<float>(sum.lane[i]) * multiplier.lane[i];
  return v;
}

static MNV2_HOT ivec to_bytes(const fvec& a, const fvec& b, const fvec& c, const fvec& d, const ivec& zero) {
  const fvec* const four[4] = {&a, &b, &c, &d};
  ivec v;
  for (int p = 0; p < 4; p++)
    for (int i = 0; i < 4; i++) v.byte[4 * p + i] = static_cast<uint8_t>(byte_of(four[p]->lane[i], zero.lane[0]));
  return v;
}
static MNV2_HOT ivec clamp_bytes(ivec v, const ivec& lo, const ivec& hi) {
  for (uint8_t& b : v.byte) b = b < lo.lane[0] ? lo.lane[0] : b > hi.lane[0] ? hi.lane[0] : b;
  return v;
}

static MNV2_HOT ivec transpose(const ivec& v) {
  ivec t;
  for (int i = 0; i < 16; i++) t.byte[i] = v.byte[i % 4 * 4 + i / 4];
  return t;
}
static MNV2_HOT ivec replace(ivec v, int64_t from, int32_t value) {
  for (int i = 0; i < 16; i++)
    if (i % 4 >= from) v.byte[i] = static_cast<uint8_t>(value);
  return v;
}

static MNV2_HOT void put_pixels(uint8_t* y, int64_t step, const ivec& v, int64_t count, int64_t lanes) {
  for (int p = 0; p < count; p++)
    for (int64_t c = 0; c < lanes; c++) y[p * step + c] = v.byte[4 * p + c];
}
static MNV2_HOT void put_floats(float* y, const fvec& v, int64_t lanes) {
  for (int64_t c = 0; c < lanes; c++) y[c] = v.lane[c];
}
static void widen_groups(const uint8_t* from, int64_t groups, int64_t C, uint8_t* to) {
  for (int64_t g = 0; g < groups; g++)
    for (int64_t c = 0; c < kBlock; c++)
      for (int64_t i = 0; i < 4; i++) to[(g * kBlock + c) * 4 + i] = from[(4 * g + i) * C + c];
}
