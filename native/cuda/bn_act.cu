// BatchNorm + activation (+ residual) on channels-last rows: see kernels.h for the contract and
// native/kernels/bn_act.cc for the CPU's version of the same.
//
// A thread keeps V channels of 16 bytes together and walks rows; a block is tx channel vectors by
// ty rows, so that a warp reads whole lines. What is written after a reduction is walked from the
// last row to the first: the end of the tensor is what the L2 cache still holds.
#include <type_traits>

#include "cuda/reduce.h"

namespace mnv2::cuda {
namespace {

constexpr int kThreads = 256, kUnroll = 4;

struct Grid {
  dim3 blocks, threads;
  Grid(int64_t rows, int64_t C, int V) {
    const int64_t vectors = ceil_div(C, V), gx = ceil_div(vectors, 32), tx = ceil_div(vectors, gx), ty = kThreads / tx;
    const int64_t wanted = ceil_div(rows, ty * kUnroll), most = kBlocks / gx > 1 ? kBlocks / gx : 1;
    blocks = dim3(unsigned(gx), unsigned(wanted < most ? wanted : most));
    threads = dim3(unsigned(tx), unsigned(ty));
  }
};

// Where a thread works: its first channel, first row, and the distance between its rows.
struct Place {
  int64_t c, row, step;
};
template <int V>
MNV2_DEVICE Place place() {
  return {(int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * V, int64_t(blockIdx.y) * blockDim.y + threadIdx.y,
          int64_t(gridDim.y) * blockDim.y};
}

// One channel vector's parameters, in registers.
template <int V>
struct Affine {
  float mean[V], scale[V], beta[V];
  MNV2_DEVICE Affine(const Norm& norm, int64_t c) {
    for (int v = 0; v < V; ++v) {
      mean[v] = norm.mean ? norm.mean[c + v] : 0.f;
      scale[v] = norm.mean ? norm.gamma[c + v] * norm.rstd[c + v] : 1.f;
      beta[v] = norm.beta ? norm.beta[c + v] : 0.f;
    }
  }
};

template <class T, int V>
__global__ void __launch_bounds__(kThreads, 4)
    moments_kernel(const T* __restrict__ x, int64_t rows, int64_t C, float* __restrict__ partial) {
  const Place at = place<V>();
  Sums<V> sums;
  if (at.c < C) {
    int64_t row = at.row;
    for (; row + (kUnroll - 1) * at.step < rows; row += kUnroll * at.step) {
      float value[kUnroll][V];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) load(x + (row + u * at.step) * C + at.c, value[u]);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) sums.add(value[u]);
    }
    for (; row < rows; row += at.step) {
      float value[V];
      load(x + row * C + at.c, value);
      sums.add(value);
    }
  }

  Moments* shared = shared_memory<Moments>();  // [V][ty][tx]
  const int size = blockDim.x * blockDim.y, me = threadIdx.y * blockDim.x + threadIdx.x;
  for (int v = 0; v < V; ++v) shared[v * size + me] = sums.moments(v);
  for (unsigned n = blockDim.y; n > 1;) {
    const unsigned half = (n + 1) / 2;
    __syncthreads();
    if (threadIdx.y + half < n)
      for (int v = 0; v < V; ++v)
        shared[v * size + me] = merge(shared[v * size + me], shared[v * size + me + half * blockDim.x]);
    n = half;
  }
  if (threadIdx.y != 0 || at.c >= C) return;
  for (int v = 0; v < V; ++v) {
    const Moments m = shared[v * size + me];
    float* out = partial + blockIdx.y * 3 * C + at.c + v;
    out[0] = m.n, out[C] = m.mean, out[2 * C] = m.m2;
  }
}

template <class T, int V, Act A, bool kResidual>
__global__ void __launch_bounds__(kThreads) norm_act_kernel(const T* __restrict__ x, const T* __restrict__ residual,
                                                            Norm norm, int64_t rows, int64_t C, T* __restrict__ y) {
  const Place at = place<V>();
  if (at.c >= C) return;
  const Affine<V> affine(norm, at.c);
  const auto finish = [&](float (&value)[V], const float (&add)[V], int64_t i) {
    for (int v = 0; v < V; ++v) {
      value[v] = activate<A>((value[v] - affine.mean[v]) * affine.scale[v] + affine.beta[v]);
      if (kResidual) value[v] += add[v];
    }
    store(value, y + i);
  };
  int64_t row = rows - 1 - at.row;
  for (; row - at.step >= 0; row -= 2 * at.step) {
    const int64_t i = row * C + at.c, j = i - at.step * C;
    float a[V], b[V], ra[V] = {}, rb[V] = {};
    load(x + i, a);
    load(x + j, b);
    if (kResidual) load(residual + i, ra), load(residual + j, rb);
    finish(a, ra, i);
    finish(b, rb, j);
  }
  if (row >= 0) {
    float a[V], ra[V] = {};
    load(x + row * C + at.c, a);
    if (kResidual) load(residual + row * C + at.c, ra);
    finish(a, ra, row * C + at.c);
  }
}

// partial: [blocks, 2, C] of sum g and sum g (x - mean), where g is dy through the mask.
template <class T, int V, Act A>
__global__ void __launch_bounds__(kThreads, 3)
    grad_sums_kernel(const T* __restrict__ dy, const T* __restrict__ x, Norm norm, int64_t rows, int64_t C,
                     float* __restrict__ partial) {
  const Place at = place<V>();
  float s1[V] = {}, s2[V] = {};
  if (at.c < C) {
    const Affine<V> affine(norm, at.c);
    const auto add = [&](const float (&value)[V], const float (&grad)[V]) {
      for (int v = 0; v < V; ++v) {
        const float d = value[v] - affine.mean[v];
        const float g = activate_grad<A>(d * affine.scale[v] + affine.beta[v], grad[v]);
        s1[v] += g;
        s2[v] += g * d;
      }
    };
    int64_t row = at.row;
    for (; row + at.step < rows; row += 2 * at.step) {
      const int64_t i = row * C + at.c, j = i + at.step * C;
      float a[V], b[V], ga[V], gb[V];
      load(x + i, a);
      load(dy + i, ga);
      load(x + j, b);
      load(dy + j, gb);
      add(a, ga);
      add(b, gb);
    }
    if (row < rows) {
      float a[V], ga[V];
      load(x + row * C + at.c, a);
      load(dy + row * C + at.c, ga);
      add(a, ga);
    }
  }

  float* shared = shared_memory<float>();  // [2 V][ty][tx]
  const int size = blockDim.x * blockDim.y, me = threadIdx.y * blockDim.x + threadIdx.x;
  for (int v = 0; v < V; ++v) {
    shared[2 * v * size + me] = s1[v];
    shared[(2 * v + 1) * size + me] = s2[v];
  }
  for (unsigned n = blockDim.y; n > 1;) {
    const unsigned half = (n + 1) / 2;
    __syncthreads();
    if (threadIdx.y + half < n)
      for (int v = 0; v < 2 * V; ++v) shared[v * size + me] += shared[v * size + me + half * blockDim.x];
    n = half;
  }
  if (threadIdx.y != 0 || at.c >= C) return;
  for (int v = 0; v < V; ++v) {
    float* out = partial + blockIdx.y * 2 * C + at.c + v;
    out[0] = shared[2 * v * size + me], out[C] = shared[(2 * v + 1) * size + me];
  }
}

// dx = scale * (g - dbeta / rows - (x - mean) * rstd * dgamma / rows); scale * g where they are null
template <class T, int V, Act A>
__global__ void __launch_bounds__(kThreads)
    grad_dx_kernel(const T* __restrict__ dy, const T* __restrict__ x, Norm norm, const float* __restrict__ dgamma,
                   const float* __restrict__ dbeta, int64_t rows, int64_t C, T* __restrict__ dx) {
  const Place at = place<V>();
  if (at.c >= C) return;
  const Affine<V> affine(norm, at.c);
  float offset[V] = {}, slope[V] = {};
  for (int v = 0; v < V && dgamma; ++v) {
    offset[v] = affine.scale[v] * dbeta[at.c + v] / float(rows);
    slope[v] = affine.scale[v] * norm.rstd[at.c + v] * dgamma[at.c + v] / float(rows);
  }
  const auto finish = [&](float (&value)[V], const float (&grad)[V], int64_t i) {
    for (int v = 0; v < V; ++v) {
      const float d = value[v] - affine.mean[v];
      const float g = activate_grad<A>(d * affine.scale[v] + affine.beta[v], grad[v]);
      value[v] = affine.scale[v] * g - offset[v] - slope[v] * d;
    }
    store(value, dx + i);
  };
  int64_t row = rows - 1 - at.row;
  for (; row - at.step >= 0; row -= 2 * at.step) {
    const int64_t i = row * C + at.c, j = i - at.step * C;
    float a[V], b[V], ga[V], gb[V];
    load(x + i, a);
    load(dy + i, ga);
    load(x + j, b);
    load(dy + j, gb);
    finish(a, ga, i);
    finish(b, gb, j);
  }
  if (row >= 0) {
    float a[V], ga[V];
    load(x + row * C + at.c, a);
    load(dy + row * C + at.c, ga);
    finish(a, ga, row * C + at.c);
  }
}

template <class T, int V>
void moments(const void* x, int64_t rows, int64_t C, const Statistics& out, float* workspace, Stream stream) {
  const Grid grid(rows, C, V);
  const size_t shared = sizeof(Moments) * V * grid.threads.x * grid.threads.y;
  launch(moments_kernel<T, V>, grid.blocks, grid.threads, shared, stream, static_cast<const T*>(x), rows, C, workspace);
  finish_moments(workspace, grid.blocks.y, C, out, stream);
}

template <class T, int V, Act A>
struct Launch {
  static void norm_act(const T* x, const T* residual, const Norm& norm, int64_t rows, int64_t C, T* y, Stream stream) {
    const Grid grid(rows, C, V);
    const auto kernel = residual ? norm_act_kernel<T, V, A, true> : norm_act_kernel<T, V, A, false>;
    launch(kernel, grid.blocks, grid.threads, 0, stream, x, residual, norm, rows, C, y);
  }
  static void sums(const T* dy, const T* x, const Norm& norm, int64_t rows, int64_t C, float* dgamma, float* dbeta,
                   float* workspace, Stream stream) {
    const Grid grid(rows, C, V);
    const size_t shared = sizeof(float) * 2 * V * grid.threads.x * grid.threads.y;
    launch(grad_sums_kernel<T, V, A>, grid.blocks, grid.threads, shared, stream, dy, x, norm, rows, C, workspace);
    finish_sums(workspace, grid.blocks.y, 2 * C, 1, C, nullptr, dbeta, 1, 0, stream);
    finish_sums(workspace + C, grid.blocks.y, 2 * C, 1, C, norm.rstd, dgamma, 1, 0, stream);
  }
  static void dx(const T* dy, const T* x, const Norm& norm, const float* dgamma, const float* dbeta, int64_t rows,
                 int64_t C, T* dx, Stream stream) {
    const Grid grid(rows, C, V);
    launch(grad_dx_kernel<T, V, A>, grid.blocks, grid.threads, 0, stream, dy, x, norm, dgamma, dbeta, rows, C, dx);
  }
};

// Calls body(element, vector width, activation) with the three as compile-time types.
template <int n>
using Int = std::integral_constant<int, n>;
template <Act A>
using ActIs = std::integral_constant<Act, A>;
template <class T, class Body>
void with_width_and_act(bool vector, Act act, const Body& body) {
  const auto with_width = [&](auto width) {
    if (act == Act::none) body(T(), width, ActIs<Act::none>());
    if (act == Act::relu) body(T(), width, ActIs<Act::relu>());
    if (act == Act::relu6) body(T(), width, ActIs<Act::relu6>());
  };
  if (vector)
    with_width(Int<kVector<T>>());
  else
    with_width(Int<1>());
}
template <class Body, class... Pointers>
void dispatch(Type type, Act act, int64_t C, const Body& body, Pointers... pointers) {
  if (type == Type::float32)
    with_width_and_act<float>(vectorizable<float>(C, pointers...), act, body);
  else
    with_width_and_act<bfloat16>(vectorizable<bfloat16>(C, pointers...), act, body);
}

}  // namespace

void norm_act(Type type, const void* x, const void* residual, const Norm& norm, int64_t rows, int64_t C, void* y,
              Stream stream) {
  dispatch(
      type, norm.act, C,
      [&](auto element, auto width, auto act) {
        using T = decltype(element);
        Launch<T, width.value, act.value>::norm_act(static_cast<const T*>(x), static_cast<const T*>(residual), norm,
                                                    rows, C, static_cast<T*>(y), stream);
      },
      x, residual, y);
}

void bn_statistics(Type type, const void* x, int64_t rows, int64_t C, const Statistics& statistics, float* workspace,
                   Stream stream) {
  dispatch(
      type, Act::none, C,
      [&](auto element, auto width, auto) {
        moments<decltype(element), width.value>(x, rows, C, statistics, workspace, stream);
      },
      x);
}

void bn_act_forward(Type type, const void* x, const void* residual, const float* gamma, const float* beta, Act act,
                    int64_t rows, int64_t C, void* y, const Statistics& statistics, float* workspace, Stream stream) {
  bn_statistics(type, x, rows, C, statistics, workspace, stream);
  norm_act(type, x, residual, {statistics.mean, statistics.rstd, gamma, beta, act}, rows, C, y, stream);
}

void bn_act_backward_sums(Type type, const void* dy, const void* x, const Norm& norm, int64_t rows, int64_t C,
                          float* dgamma, float* dbeta, float* workspace, Stream stream) {
  dispatch(
      type, norm.act, C,
      [&](auto element, auto width, auto act) {
        using T = decltype(element);
        Launch<T, width.value, act.value>::sums(static_cast<const T*>(dy), static_cast<const T*>(x), norm, rows, C,
                                                dgamma, dbeta, workspace, stream);
      },
      dy, x);
}

void bn_act_backward_dx(Type type, const void* dy, const void* x, const Norm& norm, const float* dgamma,
                        const float* dbeta, int64_t rows, int64_t C, void* dx, Stream stream) {
  dispatch(
      type, norm.act, C,
      [&](auto element, auto width, auto act) {
        using T = decltype(element);
        Launch<T, width.value, act.value>::dx(static_cast<const T*>(dy), static_cast<const T*>(x), norm, dgamma, dbeta,
                                              rows, C, static_cast<T*>(dx), stream);
      },
      dy, x, dx);
}

void bn_act_backward(Type type, const void* dy, const void* x, const Norm& norm, int64_t rows, int64_t C, void* dx,
                     float* dgamma, float* dbeta, float* workspace, Stream stream) {
  bn_act_backward_sums(type, dy, x, norm, rows, C, dgamma, dbeta, workspace, stream);
  if (dx) bn_act_backward_dx(type, dy, x, norm, dgamma, dbeta, rows, C, dx, stream);
}

void bn_act_eval_backward(Type type, const void* dy, const void* x, const Norm& norm, int64_t rows, int64_t C, void* dx,
                          float* dgamma, float* dbeta, float* workspace, Stream stream) {
  if (dgamma) bn_act_backward_sums(type, dy, x, norm, rows, C, dgamma, dbeta, workspace, stream);
  if (dx) bn_act_backward_dx(type, dy, x, norm, nullptr, nullptr, rows, C, dx, stream);
}

}  // namespace mnv2::cuda
