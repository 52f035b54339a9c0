// Second stages of the reductions: see reduce.h. Sums run in double and in a fixed order.
#include "cuda/reduce.h"

namespace mnv2::cuda {
namespace {

constexpr int kColumns = 32, kDepth = 8;  // channels by partial sums of a block

// Adds the kDepth values of each column; the result is valid in threads with threadIdx.y == 0.
MNV2_DEVICE double sum_column(double* shared, double value) {
  __syncthreads();
  shared[threadIdx.y * kColumns + threadIdx.x] = value;
  __syncthreads();
  double sum = 0;
  if (threadIdx.y == 0)
    for (int d = 0; d < kDepth; ++d) sum += shared[d * kColumns + threadIdx.x];
  return sum;
}

__global__ void finish_moments_kernel(const float* __restrict__ partial, int64_t blocks, int64_t C, Statistics out) {
  double* shared = shared_memory<double>();
  const int64_t c = int64_t(blockIdx.x) * kColumns + threadIdx.x;
  double n = 0, s1 = 0, s2 = 0, shift = 0;
  if (c < C) {
    shift = partial[C + c];  // block 0 is never empty
    for (int64_t b = threadIdx.y; b < blocks; b += kDepth) {
      const float* p = partial + b * 3 * C + c;
      const double m = p[0], d = m > 0 ? p[C] - shift : 0;
      n += m;
      s1 += m * d;
      s2 += p[2 * C] + m * d * d;
    }
  }
  n = sum_column(shared, n);
  s1 = sum_column(shared, s1);
  s2 = sum_column(shared, s2);
  if (c >= C || threadIdx.y != 0) return;
  const double d = s1 / n, v = s2 / n - d * d;
  const double mean = shift + d, var = v < 0 ? 0 : v;
  out.mean[c] = float(mean);
  out.var[c] = float(var);
  out.rstd[c] = float(1 / sqrt(var + double(out.eps)));
  if (out.running_mean) out.running_mean[c] += out.momentum * (float(mean) - out.running_mean[c]);
  if (out.running_var) {
    const float unbiased = float(var * (n / (n > 1 ? n - 1 : 1)));
    out.running_var[c] += out.momentum * (unbiased - out.running_var[c]);
  }
}

__global__ void finish_sums_kernel(const float* __restrict__ partial, int64_t blocks, int64_t pitch, int64_t C,
                                   const float* __restrict__ scale, float* __restrict__ out, int64_t c_stride,
                                   int64_t k_stride) {
  double* shared = shared_memory<double>();
  const int64_t c = int64_t(blockIdx.x) * kColumns + threadIdx.x, k = blockIdx.y;
  double sum = 0;
  if (c < C)
    for (int64_t b = threadIdx.y; b < blocks; b += kDepth) sum += partial[b * pitch + k * C + c];
  sum = sum_column(shared, sum);
  if (c < C && threadIdx.y == 0) out[c * c_stride + k * k_stride] = float(scale ? sum * scale[c] : sum);
}

constexpr size_t kShared = kColumns * kDepth * sizeof(double);

}  // namespace

// One partial of [K, C] for every block in y, of which there are kBlocks / (channel tiles), at
// least one: K = 3 with tiles of up to 256 channels, K = 11 with up to 32.
int64_t workspace_floats(int64_t C) { return kBlocks * 3 * 256 + 11 * C; }

void finish_moments(const float* partial, int64_t blocks, int64_t C, const Statistics& out, Stream stream) {
  launch(finish_moments_kernel, dim3(unsigned(ceil_div(C, kColumns))), dim3(kColumns, kDepth), kShared, stream, partial,
         blocks, C, out);
}

void finish_sums(const float* partial, int64_t blocks, int64_t pitch, int64_t K, int64_t C, const float* scale,
                 float* out, int64_t c_stride, int64_t k_stride, Stream stream) {
  launch(finish_sums_kernel, dim3(unsigned(ceil_div(C, kColumns)), unsigned(K)), dim3(kColumns, kDepth), kShared,
         stream, partial, blocks, pitch, C, scale, out, c_stride, k_stride);
}

}  // namespace mnv2::cuda
