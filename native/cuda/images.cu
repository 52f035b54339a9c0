// Batches from the resident uint8 store: gather, augment, normalise, mix. See kernels.h; the arithmetic
// is that of native/data/augment.cc and mix.cc, pixel by pixel.
#include <limits>

#include "cuda/grid.h"

namespace mnv2::cuda {
namespace {

constexpr int kThreads = 256;  // pixels of one block

struct Source {
  const uint8_t* store;
  int64_t count;
  int height, width;
  const int64_t* indices;
  const AugmentDraw* draws;
};

// Coordinate folded into [0, size - 1], mirrored about the border pixels.
MNV2_DEVICE float mirror(float v, int size) {
  const float last = float(size - 1);
  v = fabsf(v);
  if (v <= last) return v;
  if (size == 1) return 0.f;
  v = fmodf(v, 2.f * last);
  return v > last ? 2.f * last - v : v;
}

MNV2_DEVICE int within(int v, int last) { return v < 0 ? 0 : v > last ? last : v; }

// What pixel (x, y) of the augmented image shows, 0 to 255, before any colour. The same numbers
// for whole coordinates (flips, turns) as for a copy.
template <int C>
MNV2_DEVICE void sample(const uint8_t* image, const Source& s, const AugmentDraw* draw, int x, int y, float (&out)[C]) {
  if (!draw) {
    for (int c = 0; c < C; ++c) out[c] = image[(int64_t(y) * s.width + x) * C + c];
    return;
  }
  const float* m = draw->matrix;
  const float sx = mirror(m[0] * float(x) + (m[1] * float(y) + m[2]), s.width);
  const float sy = mirror(m[3] * float(x) + (m[4] * float(y) + m[5]), s.height);
  const int x0 = within(int(sx), s.width - 1), y0 = within(int(sy), s.height - 1);
  const int x1 = within(x0 + 1, s.width - 1), y1 = within(y0 + 1, s.height - 1);
  const float fx = sx - float(x0), fy = sy - float(y0);
  const uint8_t *upper = image + int64_t(y0) * s.width * C, *lower = image + int64_t(y1) * s.width * C;
  for (int c = 0; c < C; ++c) {
    const float a = upper[x0 * C + c], b = upper[x1 * C + c], d = lower[x0 * C + c], e = lower[x1 * C + c];
    const float top = a + fx * (b - a), bottom = d + fx * (e - d);
    out[c] = top + fy * (bottom - top);
  }
}

// ITU-R 601 luma; one channel is its own grey, a fourth is left out.
template <int C>
MNV2_DEVICE float grey(const float (&p)[C]) {
  if constexpr (C >= 3)
    return 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
  else
    return p[0];
}

MNV2_DEVICE bool erased(const AugmentDraw& d, int x, int y) {
  return x >= d.erase_x && x < d.erase_x + d.erase_width && y >= d.erase_y && y < d.erase_y + d.erase_height;
}

// The sum over the block's threads, in all of them.
MNV2_DEVICE float sum_block(float* shared, float value) {
  __syncthreads();
  shared[threadIdx.x] = value;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  __syncthreads();
  return shared[0];
}

// partial: [batch, blocks in x] of sums of grey; only for images whose contrast changes.
template <int C>
__global__ void __launch_bounds__(kThreads) grey_sums_kernel(Source s, float* __restrict__ partial) {
  const int64_t n = blockIdx.y, index = s.indices[n];
  const AugmentDraw* draw = s.draws + n;
  if (draw->contrast == 1.f || index < 0 || index >= s.count) return;
  const int pixel = blockIdx.x * kThreads + threadIdx.x, pixels = s.height * s.width;
  float value = 0.f;
  if (pixel < pixels) {
    float p[C];
    sample<C>(s.store + index * pixels * C, s, draw, pixel % s.width, pixel / s.width, p);
    value = grey<C>(p);
  }
  const float sum = sum_block(shared_memory<float>(), value);
  if (threadIdx.x == 0) partial[n * gridDim.x + blockIdx.x] = sum;
}

template <class T, int C>
__global__ void __launch_bounds__(kThreads)
    load_images_kernel(Source s, Preprocess p, const float* __restrict__ partial, T* __restrict__ out) {
  const int64_t n = blockIdx.y, index = s.indices[n];
  const AugmentDraw* draw = s.draws ? s.draws + n : nullptr;
  const int pixels = s.height * s.width, first = blockIdx.x * kThreads, pixel = first + threadIdx.x;
  const bool inside = index >= 0 && index < s.count;

  float mean = 0.f;
  if (draw && draw->contrast != 1.f && inside) {  // the same for the whole block
    float sum = 0.f;
    for (unsigned i = threadIdx.x; i < gridDim.x; i += kThreads) sum += partial[n * gridDim.x + i];
    mean = sum_block(shared_memory<float>(), sum) / float(pixels);
    __syncthreads();
  }

  // Through shared memory, so that the block writes whole lines.
  T* const shared = shared_memory<T>();
  if (pixel < pixels) {
    float v[C];
    if (inside) {
      sample<C>(s.store + index * pixels * C, s, draw, pixel % s.width, pixel / s.width, v);
      if (draw && (draw->brightness != 1.f || draw->contrast != 1.f || draw->saturation != 1.f)) {
        const float gain = draw->brightness * draw->contrast, offset = mean * draw->brightness * (1.f - draw->contrast);
        const float g = grey<C>(v) * gain + offset;
        for (int c = 0; c < C; ++c) {
          const float value = g + draw->saturation * (v[c] * gain + offset - g);
          v[c] = value < 0.f ? 0.f : value > 255.f ? 255.f : value;
        }
      }
    }
    const bool blank = draw && erased(*draw, pixel % s.width, pixel / s.width);
    for (int c = 0; c < C; ++c) {
      const float value = blank ? 0.f : v[c] * p.scale[c] + p.shift[c];
      shared[threadIdx.x * C + c] = narrow<T>(inside ? value : nanf(""));
    }
  }
  __syncthreads();
  const int left = pixels - first, count = (left < kThreads ? left : kThreads) * C;
  T* const to = out + (n * pixels + first) * C;
  constexpr int V = kVector<T>;
  if (count == kThreads * C && reinterpret_cast<uintptr_t>(to) % 16 == 0) {
    for (int i = threadIdx.x; i < count / V; i += kThreads)
      reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(shared)[i];
  } else {
    for (int i = threadIdx.x; i < count; i += kThreads) to[i] = shared[i];
  }
}

// A thread for each value of an image, in place: it goes from image to image, and each reads a partner nobody has
// written yet; the last one's is kept aside.
template <class T>
__global__ void __launch_bounds__(kThreads) mix_images_kernel(T* images, int64_t batch, int height, int width,
                                                              int channels, const MixDraw* __restrict__ draws) {
  const int64_t size = int64_t(height) * width * channels, at = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= size) return;
  const int x = int(at / channels % width), y = int(at / channels / width);
  T* const out = images + at;
  const T first = out[0];
  T own = first;
  for (int64_t n = 0; n < batch; ++n) {
    const T partner = n + 1 < batch ? out[(n + 1) * size] : first;
    const MixDraw& d = draws[n];
    if (d.width > 0) {
      if (x >= d.x && x < d.x + d.width && y >= d.y && y < d.y + d.height) out[n * size] = partner;
    } else if (d.own < 1.f) {
      out[n * size] = narrow<T>(d.own * widen(own) + (1.f - d.own) * widen(partner));
    }
    own = partner;
  }
}

template <class T, int C>
void load_as(const Source& s, const Preprocess& p, int64_t batch, T* out, float* workspace, Stream stream) {
  const dim3 blocks(unsigned(ceil_div(int64_t(s.height) * s.width, kThreads)), unsigned(batch));
  if (s.draws) launch(grey_sums_kernel<C>, blocks, dim3(kThreads), kThreads * sizeof(float), stream, s, workspace);
  launch(load_images_kernel<T, C>, blocks, dim3(kThreads), kThreads * 4 * sizeof(float), stream, s, p, workspace, out);
}

template <class T>
void load_any(const Source& s, int64_t channels, const Preprocess& p, int64_t batch, T* out, float* workspace,
              Stream stream) {
  const auto run = channels == 1   ? load_as<T, 1>
                   : channels == 2 ? load_as<T, 2>
                   : channels == 3 ? load_as<T, 3>
                                   : load_as<T, 4>;
  run(s, p, batch, out, workspace, stream);
}

}  // namespace

int64_t images_workspace_floats(int64_t batch, int64_t height, int64_t width) {
  return batch * ceil_div(height * width, kThreads);
}

void load_images(const uint8_t* store, int64_t count, int64_t height, int64_t width, int64_t channels,
                 const int64_t* indices, const AugmentDraw* draws, int64_t batch, const Preprocess& p, Type type,
                 void* out, float* workspace, Stream stream) {
  const Source s{store, count, int(height), int(width), indices, draws};
  if (type == Type::float32)
    load_any(s, channels, p, batch, static_cast<float*>(out), workspace, stream);
  else
    load_any(s, channels, p, batch, static_cast<bfloat16*>(out), workspace, stream);
}

void mix_images(Type type, void* images, int64_t batch, int64_t height, int64_t width, int64_t channels,
                const MixDraw* draws, Stream stream) {
  const dim3 blocks(unsigned(ceil_div(height * width * channels, kThreads)));
  const auto run = [&](auto kernel, auto* values) {
    launch(kernel, blocks, dim3(kThreads), 0, stream, values, batch, int(height), int(width), int(channels), draws);
  };
  if (type == Type::float32)
    run(mix_images_kernel<float>, static_cast<float*>(images));
  else
    run(mix_images_kernel<bfloat16>, static_cast<bfloat16*>(images));
}

}  // namespace mnv2::cuda
