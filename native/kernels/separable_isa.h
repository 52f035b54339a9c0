// The inner loops of separable.cc, once for every instruction set: included inside a namespace and a target region,
// with MNV2_LANES (floats in a register), MNV2_PIXELS and MNV2_VECTORS (the register tile: pixels x registers of
// channels) defined. No include guard, no std: an inline function compiled here must not serve another CPU.

using vec = float __attribute__((vector_size(4 * MNV2_LANES)));
using loose_vec = float __attribute__((vector_size(4 * MNV2_LANES), aligned(4), may_alias));

static inline __attribute__((always_inline)) vec load(const float* p) { return *reinterpret_cast<const loose_vec*>(p); }
static inline __attribute__((always_inline)) void store(float* p, vec v) { *reinterpret_cast<loose_vec*>(p) = v; }
static inline __attribute__((always_inline)) vec spread(float v) { return v - vec{}; }
// Comparisons written so that a NaN stays one.
static inline __attribute__((always_inline)) vec clamp(vec v, vec lo, vec hi) {
  v = lo > v ? lo : v;
  return hi < v ? hi : v;
}

// Blocks [from, until) of the products, for M pixels x V registers of channels from register v0 of the panel on.
// Between the parts of a sum y holds it.
template <int M, int V, int Pixel>
static inline __attribute__((always_inline)) void tile(const DenseTiles& t, int64_t first, int64_t v0, int64_t from,
                                                       int64_t until) {
  vec sum[M][V];
  float* y[V];
  _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) {
    const int64_t lane = (v0 + v) * MNV2_LANES;
    y[v] = t.y + first * t.y_pixel + lane / kLanes * t.y_block + lane % kLanes;
    if (from == 0) {
      const vec bias = load(t.bias + lane);
      _Pragma("GCC unroll 16") for (int m = 0; m < M; m++) sum[m][v] = bias;
    } else {
      _Pragma("GCC unroll 16") for (int m = 0; m < M; m++) sum[m][v] = load(y[v] + m * t.y_pixel);
    }
  }
  const int64_t pixel = Pixel ? Pixel : t.pixel, row = t.blocks * kLanes;
  const float* b = t.b + v0 * MNV2_LANES + from * t.k * row;
  for (int64_t kb = from; kb < until; kb++) {
    const float* a = t.a + first * pixel + kb * t.k_stride;
    for (int64_t k = 0; k < t.k; k++, a++, b += row) {
      vec w[V];
      _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) w[v] = load(b + v * MNV2_LANES);
      _Pragma("GCC unroll 16") for (int m = 0; m < M; m++) {
        const vec x = spread(a[m * pixel]);
        _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) sum[m][v] += x * w[v];
      }
    }
  }
  const vec lo = spread(t.lo), hi = spread(t.hi);
  _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) {
    if (until < t.k_blocks) {
      _Pragma("GCC unroll 16") for (int m = 0; m < M; m++) store(y[v] + m * t.y_pixel, sum[m][v]);
    } else if (t.add) {
      const float* add = t.add + (y[v] - t.y);
      _Pragma("GCC unroll 16") for (int m = 0; m < M; m++)
          store(y[v] + m * t.y_pixel, clamp(sum[m][v], lo, hi) + load(add + m * t.y_pixel));
    } else {
      _Pragma("GCC unroll 16") for (int m = 0; m < M; m++) store(y[v] + m * t.y_pixel, clamp(sum[m][v], lo, hi));
    }
  }
}

template <int V, int Pixel, int M = MNV2_PIXELS>
static inline __attribute__((always_inline)) void pixels(const DenseTiles& t, int64_t m, int64_t first, int64_t v0,
                                                         int64_t from, int64_t until) {
  if constexpr (M > 0) {
    if (m == M)
      tile<M, V, Pixel>(t, first, v0, from, until);
    else
      pixels<V, Pixel, M - 1>(t, m, first, v0, from, until);
  }
}

template <int V, int Pixel>
static void column(const DenseTiles& t, int64_t v0, int64_t from, int64_t until) {
  // Tiles of even height: 49 pixels are better seven times seven than six times eight and one.
  const int64_t tiles = (t.m + MNV2_PIXELS - 1) / MNV2_PIXELS;
  for (int64_t i = 0; i < tiles; i++) {
    const int64_t first = t.m * i / tiles;
    pixels<V, Pixel>(t, t.m * (i + 1) / tiles - first, first, v0, from, until);
  }
}

template <int Pixel>
static void panel(const DenseTiles& t) {
  const int64_t vectors = t.blocks * (kLanes / MNV2_LANES);
  // The weights of one part of a long sum stay in the L1 cache while all pixels pass.
  const int64_t part = t.m > MNV2_PIXELS ? (kPartOfSum + t.k - 1) / t.k : t.k_blocks;
  for (int64_t from = 0, until; from < t.k_blocks; from = until) {
    until = t.k_blocks - from < 2 * part ? t.k_blocks : from + part;
    int64_t v = 0;
    for (; v + MNV2_VECTORS <= vectors; v += MNV2_VECTORS) column<MNV2_VECTORS, Pixel>(t, v, from, until);
    if constexpr (MNV2_VECTORS > 2) {
      for (; v + 2 <= vectors; v += 2) column<2, Pixel>(t, v, from, until);
    }
    for (; v < vectors; v++) column<1, Pixel>(t, v, from, until);
  }
}

static void dense_tiles(const DenseTiles& t) {
  if (t.pixel == kLanes)
    panel<kLanes>(t);
  else
    panel<0>(t);
}

template <int Stride>
static inline __attribute__((always_inline)) void window_row(const Window& r) {
  constexpr int64_t K = kLanes, step = Stride * K;
  for (int64_t half = 0; half < K; half += MNV2_LANES) {
    vec w[9];
    _Pragma("GCC unroll 9") for (int i = 0; i < 9; i++) w[i] = load(r.taps + i * K + half);
    const vec bias = load(r.taps + 9 * K + half), lo = spread(r.lo), hi = spread(r.hi);
    const float *a = r.rows[0] + half, *b = r.rows[1] + half, *c = r.rows[2] + half;
    float* y = r.y + half;
    for (int64_t o = 0; o < r.columns; o++, a += step, b += step, c += step, y += K) {
      vec p = bias + load(a) * w[0], q = load(b) * w[3], s = load(c) * w[6];
      p += load(a + K) * w[1], q += load(b + K) * w[4], s += load(c + K) * w[7];
      p += load(a + 2 * K) * w[2], q += load(b + 2 * K) * w[5], s += load(c + 2 * K) * w[8];
      store(y, clamp(p + q + s, lo, hi));
    }
  }
}

static void depthwise_row(const Window& r) {
  if (r.stride == 1)
    window_row<1>(r);
  else
    window_row<2>(r);
}

static constexpr Isa isa{dense_tiles, depthwise_row};
