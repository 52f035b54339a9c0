// The inner loops of the int8 kernels, once for every path: included inside a namespace, and a target region, behind
// what a register is there (quantised_x86.h, quantised_plain.h), with MNV2_PIXELS and MNV2_VECTORS (the register tile)
// defined. No include guard, no std: an inline function compiled here must not serve another CPU.

// Four groups of sums, of one pixel each, to bytes: [4 channels of pixel 0][.. of 1][.. of 2][.. of 3] in each 128
// bits.
struct Narrowing {
  fvec multiplier;
  ivec zero, lo, hi;
};
static MNV2_HOT ivec narrow(ivec a, ivec b, ivec c, ivec d, const Narrowing& n) {
  return clamp_bytes(
      to_bytes(scale(a, n.multiplier), scale(b, n.multiplier), scale(c, n.multiplier), scale(d, n.multiplier), n.zero),
      n.lo, n.hi);
}

// Writes the sums [pixel][register] of some pixels; there are sums up to a whole group of four.
template <int V>
static void finish(const QuantisedTiles& t, const ivec (*sum)[V], int64_t count, int64_t first, int64_t v0) {
  Narrowing n{{}, spread16(t.zero), spread8(t.lo), spread8(t.hi)};
  for (int v = 0; v < V; v++) {
    const int64_t lane = (v0 + v) * kLanes, there = t.lanes - lane < kLanes ? t.lanes - lane : kLanes;
    n.multiplier = load_floats(t.multiplier + lane);
    if (t.to == QuantisedTiles::To::floats) {
      float* y = static_cast<float*>(t.y) + first * t.y_step + lane;
      for (int64_t m = 0; m < count && there > 0; m++, y += t.y_step)
        put_floats(y, scale(sum[m][v], n.multiplier), there);
      continue;
    }
    uint8_t* const y = static_cast<uint8_t*>(t.y);
    for (int64_t m = 0; m < count; m += 4) {
      const int64_t left = count - m < 4 ? count - m : 4;
      const ivec bytes = narrow(sum[m][v], sum[m + 1][v], sum[m + 2][v], sum[m + 3][v], n);
      if (t.to == QuantisedTiles::To::wide) {
        const ivec columns = left == 4 ? transpose(bytes) : replace(transpose(bytes), left, t.zero);
        store(y + lane / kBlock * t.y_step + (first + m) * kBlock + lane % kBlock * 4, columns);
      } else if (there > 0) {
        put_pixels(y + (first + m) * t.y_step + lane, t.y_step, bytes, left, there);
      }
    }
  }
}

// M pixels x V registers of channels, from register v0 of the panel on.
template <int M, int V, bool Mid>
static MNV2_HOT void tile(const QuantisedTiles& t, int64_t first, int64_t v0) {
  ivec sum[M][V];
  _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) {
    const ivec bias = load(t.bias + (v0 + v) * kLanes);
    _Pragma("GCC unroll 8") for (int m = 0; m < M; m++) sum[m][v] = bias;
  }
  const int64_t pixel = t.pixel, row = t.blocks * (kBlock / kLanes) * kRegister;
  const int8_t* b = t.b + v0 * kRegister;
  const uint8_t* rows = t.a + (Mid ? first * kBlock : first * pixel);
  for (int64_t kb = 0; kb < t.k_blocks; kb++, rows += t.k_stride) {
    const uint8_t* a = rows;
    for (int64_t q = 0; q < t.quads; q++, a += Mid ? kBlock : 4, b += row) {
      wvec w[V];
      _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) w[v] = weights(b + v * kRegister);
      _Pragma("GCC unroll 8") for (int m = 0; m < M; m++) {
        const avec x = spread(a + (Mid ? m / 4 * 4 * kBlock + m % 4 * 4 : m * pixel));
        _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) sum[m][v] = dot<3>(sum[m][v], x, w[v]);
      }
    }
  }
  ivec done[(M + 3) / 4 * 4][V];  // not `sum`: what has an address is not kept in registers
  _Pragma("GCC unroll 8") for (int m = 0; m < (M + 3) / 4 * 4; m++) _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)
      done[m][v] = sum[m < M ? m : 0][v];
  finish<V>(t, done, M, first, v0);
}

template <int V, bool Mid, int M = MNV2_PIXELS>
static MNV2_HOT void pixels(const QuantisedTiles& t, int64_t m, int64_t first, int64_t v0) {
  if constexpr (M > 0) {
    if (m == M)
      tile<M, V, Mid>(t, first, v0);
    else
      pixels<V, Mid, M - 1>(t, m, first, v0);
  }
}

template <int V, bool Mid>
static void column(const QuantisedTiles& t, int64_t v0) {
  for (int64_t first = 0; first < t.m; first += MNV2_PIXELS)
    pixels<V, Mid>(t, t.m - first < MNV2_PIXELS ? t.m - first : MNV2_PIXELS, first, v0);
}

template <bool Mid>
static void panel(const QuantisedTiles& t) {
  const int64_t vectors = t.blocks * (kBlock / kLanes);
  int64_t v = 0;
  for (; v + MNV2_VECTORS <= vectors; v += MNV2_VECTORS) column<MNV2_VECTORS, Mid>(t, v);
  if constexpr (MNV2_VECTORS > 2) {
    for (; v + 2 <= vectors; v += 2) column<2, Mid>(t, v);
  }
  if constexpr (MNV2_VECTORS > 1) {
    for (; v < vectors; v++) column<1, Mid>(t, v);
  }
}

static void dense_tiles(const QuantisedTiles& t) {
  if (t.pixel == 0)
    panel<true>(t);
  else
    panel<false>(t);
}

// Which halves of four products a part of a window has: bit 0 the even, bit 1 the odd columns.
static constexpr int columns_of(int offset, int part) {
  return offset < 2 || (offset == 2 && part == 0) || (offset == 3 && part == 1) ? 3 : offset == 2 ? 1 : 2;
}

template <int Stride, int Left>
static void window_row(const QuantisedWindow& r) {
  constexpr int kGroups = (Stride * 3 + 4 - Left + 2) / 4 + 1;  // that four outputs read
  for (int64_t lane = 0; lane < kBlock; lane += kLanes) {
    const int8_t* const taps = r.taps + lane / kLanes * 3 * kWindowParts * kRegister;
    const ivec bias = load(r.bias + lane);
    const Narrowing n{load_floats(r.multiplier + lane), spread16(r.zero), spread8(r.lo), spread8(r.hi)};
    int64_t from = lane * 4;
    for (int64_t g = 0; g < r.groups; g++, from += Stride * 4 * kBlock) {
      ivec sum[4] = {bias, bias, bias, bias};
      _Pragma("GCC unroll 3") for (int row = 0; row < 3; row++) {
        avec x[kGroups];
        _Pragma("GCC unroll 4") for (int i = 0; i < kGroups; i++) x[i] = columns(r.rows[row] + from + i * 4 * kBlock);
        const int8_t* w = taps + row * kWindowParts * kRegister;
        _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
          constexpr int starts[4] = {4 - Left, Stride + 4 - Left, 2 * Stride + 4 - Left, 3 * Stride + 4 - Left};
          const int group = starts[j] / 4, offset = starts[j] % 4;
          if (columns_of(offset, 0) == 3)
            sum[j] = dot<3>(sum[j], x[group], weights(w));
          else
            sum[j] = dot<2>(sum[j], x[group], weights(w));
          w += kRegister;
          if (offset > 1) {
            if (columns_of(offset, 1) == 3)
              sum[j] = dot<3>(sum[j], x[group + 1], weights(w));
            else
              sum[j] = dot<1>(sum[j], x[group + 1], weights(w));
            w += kRegister;
          }
        }
      }
      store(r.y + g * 4 * kBlock + lane * 4, narrow(sum[0], sum[1], sum[2], sum[3], n));
    }
  }
}

static void depthwise_row(const QuantisedWindow& r) {
  using Row = void (*)(const QuantisedWindow&);
  static constexpr Row rows[2][3] = {{window_row<1, 0>, window_row<1, 1>, window_row<1, 2>},
                                     {window_row<2, 0>, window_row<2, 1>, window_row<2, 2>}};
  rows[r.stride - 1][r.left](r);
}
