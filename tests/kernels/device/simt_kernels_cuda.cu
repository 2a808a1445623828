#include "tests/kernels/device/simt_kernels.hpp"

#include "kernels/device/simt.hpp"

namespace lanner::simt_kernels::LANNER_GPU {
namespace {

__global__ void write_positions(unsigned* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  unsigned* const mine = out + 6 * (block * blockDim.x * blockDim.y * blockDim.z + thread);
  mine[0] = blockIdx.x;
  mine[1] = blockIdx.y;
  mine[2] = blockIdx.z;
  mine[3] = threadIdx.x;
  mine[4] = threadIdx.y;
  mine[5] = threadIdx.z;
}
void positions(Stream& stream, unsigned* out) {
  launch(stream, write_positions, dim3(2, 3, 2), dim3(5, 4, 3), 0, out);
}

template <class T>
__global__ void shuffle_values(Shuffle kind, unsigned operand, int width, T* out) {
  const T value = static_cast<T>(1000 + threadIdx.x);
  T got = 0;
  switch (kind) {
    case Shuffle::index:
      got = __shfl_sync(0xFFFFFFFFu, value, static_cast<int>(operand), width);
      break;
    case Shuffle::up:
      got = __shfl_up_sync(0xFFFFFFFFu, value, operand, width);
      break;
    case Shuffle::down:
      got = __shfl_down_sync(0xFFFFFFFFu, value, operand, width);
      break;
    case Shuffle::by_xor:
      got = __shfl_xor_sync(0xFFFFFFFFu, value, static_cast<int>(operand), width);
      break;
  }
  out[threadIdx.x] = got;
}
template <class T>
void shuffle(Stream& stream, Shuffle kind, unsigned operand, int width, T* out) {
  launch(stream, shuffle_values<T>, dim3(1), dim3(64), 0, kind, operand, width, out);
}

__global__ void write_votes(unsigned votes, bool apart, unsigned* out) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned mask = !apart ? 0xFFFFFFFFu : lane % 2 == 0 ? 0x55555555u : 0xAAAAAAAAu;
  const int vote = votes >> lane & 1;
  unsigned* const mine = out + 3 * threadIdx.x;
  mine[0] = __ballot_sync(mask, vote);
  mine[1] = static_cast<unsigned>(__any_sync(mask, vote));
  mine[2] = static_cast<unsigned>(__all_sync(mask, vote));
}
void votes(Stream& stream, unsigned votes, bool apart, unsigned* out) {
  launch(stream, write_votes, dim3(1), dim3(64), 0, votes, apart, out);
}

__global__ void write_block_votes(unsigned yes, int* out) {
  const int vote = threadIdx.x < yes;
  int* const mine = out + 3 * threadIdx.x;
  mine[0] = __syncthreads_count(vote);
  mine[1] = __syncthreads_and(vote);
  mine[2] = __syncthreads_or(vote);
}
void block_votes(Stream& stream, unsigned threads, unsigned yes, int* out) {
  launch(stream, write_block_votes, dim3(1), dim3(threads), 0, yes, out);
}

__global__ void __launch_bounds__(256) reverse_by_static(float* values) {
  SHARED_ARRAY(float, turned, 256);
  float* const mine = values + blockIdx.x * 256;
  turned[255 - threadIdx.x] = mine[threadIdx.x];
  __syncthreads();
  mine[threadIdx.x] = turned[threadIdx.x];
}
void reverse_static(Stream& stream, unsigned blocks, float* values) {
  launch(stream, reverse_by_static, dim3(blocks), dim3(256), 0, values);
}

__global__ void reverse_by_dynamic(unsigned count, float* values) {
  DYNAMIC_SHARED(float, turned);
  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) turned[count - 1 - i] = values[i];
  __syncthreads();
  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) values[i] = turned[i];
}
void reverse_dynamic(Stream& stream, unsigned count, float* values) {
  launch(stream, reverse_by_dynamic, dim3(1), dim3(256), count * sizeof(float), count, values);
}

__global__ void make_and_transpose(float* out) {
  SHARED_ARRAY(float, matrix, 32 * 33);
  SHARED_ARRAY(float, transposed, 33 * 32);
  for (unsigned i = threadIdx.x; i < 32 * 33; i += blockDim.x) matrix[i] = static_cast<float>(i);
  __syncthreads();
  for (unsigned i = threadIdx.x; i < 32 * 33; i += blockDim.x) transposed[i % 33 * 32 + i / 33] = matrix[i];
  __syncthreads();
#pragma unroll 4
  for (unsigned i = threadIdx.x; i < 32 * 33; i += blockDim.x) {
    out[i] = matrix[i];
    out[32 * 33 + i] = transposed[i];
  }
}
void transpose(Stream& stream, float* out) {
  launch(stream, make_and_transpose, dim3(1), dim3(96), 0, out);
}

__global__ void use_atomics(Kernels::Atomics* out) {
  SHARED_ARRAY(unsigned, count, 1);
  if (threadIdx.x == 0) count[0] = 0;
  __syncthreads();
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i % 3 == 0) atomicAdd(count, 1u);
  atomicAdd(&out->sum_int, -static_cast<int>(i));
  atomicAdd(&out->sum_unsigned, i);
  atomicAdd(&out->sum_long, static_cast<unsigned long long>(i) << 32);
  atomicAdd(&out->sum_float, static_cast<float>(i));
  atomicAdd(&out->sum_double, 0.5 * i);
  atomicMin(&out->lowest, 7 - static_cast<int>(i));
  atomicMax(&out->highest, static_cast<int>(i) + 7);
  atomicOr(&out->bits, 1u << i % 20);
  if (atomicCAS(&out->claim, 0u, i + 1) == 0) atomicAdd(&out->claimed, 1u);
  atomicAdd(&out->exchanged, atomicExch(&out->slot, i + 1));
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(&out->shared_count, count[0]);
}
void atomics(Stream& stream, Kernels::Atomics* out) {
  launch(stream, use_atomics, dim3(4), dim3(256), 0, out);
}

__global__ void sum_in_last_block(unsigned* partial, unsigned* count, unsigned* total) {
  SHARED_ARRAY(unsigned, last, 1);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = blockIdx.x + 1;
    __threadfence();
    last[0] = atomicAdd(count, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (last[0] == 0 || threadIdx.x != 0) return;
  __threadfence();
  unsigned sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += partial[i];
  *total = sum;
}
void last_block_sums(Stream& stream, unsigned blocks, unsigned* partial, unsigned* count, unsigned* total) {
  launch(stream, sum_in_last_block, dim3(blocks), dim3(64), 0, partial, count, total);
}

// A tile is 128 floats, of which each of 32 threads fetches 16 bytes.
__global__ void double_by_tiles(unsigned tiles, const float* in, float* out) {
  SHARED_ARRAY(float4, buffer, 2 * 32);
  cp_async_16(&buffer[threadIdx.x], in + 4 * threadIdx.x);
  cp_async_commit();
  for (unsigned tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles)
      cp_async_16(&buffer[(tile + 1) % 2 * 32 + threadIdx.x], in + 128 * (tile + 1) + 4 * threadIdx.x);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    // Another thread's part of the tile.
    const unsigned other = 31 - threadIdx.x;
    const float4 four = buffer[tile % 2 * 32 + other];
    float* const to = out + 128 * tile + 4 * other;
    to[0] = 2 * four.x;
    to[1] = 2 * four.y;
    to[2] = 2 * four.z;
    to[3] = 2 * four.w;
    __syncthreads();
  }
}
void copies(Stream& stream, unsigned blocks, const float* in, float* out) {
  launch(stream, double_by_tiles, dim3(1), dim3(32), 0, blocks, in, out);
}

__global__ void multiply_tile(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  const unsigned group = threadIdx.x / 4, k = threadIdx.x % 4 * 2;
  const auto pair = [](const std::uint16_t* from) { return from[0] | static_cast<unsigned>(from[1]) << 16; };
  unsigned left[4], right[2];
  for (unsigned i = 0; i < 4; ++i) left[i] = pair(a + (group + i % 2 * 8) * 16 + k + i / 2 * 8);
  for (unsigned i = 0; i < 2; ++i) right[i] = pair(b + group * 16 + k + i * 8);
  float sums[4];
  for (unsigned i = 0; i < 4; ++i) sums[i] = d[(group + i / 2 * 8) * 8 + k + i % 2];
  mma_m16n8k16_bf16(sums, left, right);
  for (unsigned i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + k + i % 2] = sums[i];
}
void multiply(Stream& stream, const std::uint16_t* a, const std::uint16_t* b, float* d) {
  launch(stream, multiply_tile, dim3(1), dim3(32), 0, a, b, d);
}

__global__ void write_intrinsics(float one, float three, float huge, float nan, std::uint64_t* out) {
  unsigned n = 0;
  const auto put = [&](std::uint64_t value) { out[n++] = value; };
  const auto put_int = [&](int value) { out[n++] = static_cast<unsigned>(value); };
  const auto put_float = [&](float value) { out[n++] = __float_as_uint(value); };
  const auto put_double = [&](double value) {
    out[n++] = static_cast<unsigned long long>(__double_as_longlong(value));
  };
  put_int(__popc(0xF0F0u));
  put_int(__popcll(0xF0F0F0F000000000ull));
  put_int(__clz(0));
  put_int(__clz(0x00FF0000));
  put_int(__clzll(1));
  put_int(__ffs(0));
  put_int(__ffs(0x40));
  put_int(__ffsll(1ll << 40));
  put(__brev(0x00000005u));
  put(__umulhi(0xFFFFFFFFu, 0xFFFFFFFFu));
  put(__umul64hi(~0ull, ~0ull));  // 10
  put_int(__float_as_int(-three));
  put_float(__int_as_float(0x40490FDB));
  put_float(__uint_as_float(0xC0490FDBu));
  put_double(__longlong_as_double(0x400921FB54442D18ll));
  put_int(__double2hiint(3.25));
  put_int(__double2loint(0.1));
  put_double(__hiloint2double(0x400921FB, 0x54442D18));
  put_float(__fmaf_rn(one + 1.1920929e-7f, one - 1.1920929e-7f, -one));
  put_double(__fma_rn(0.1, 10.0, -1.0));
  put_float(__fdiv_rn(one, three));  // 20
  put_float(__frcp_rn(three));
  put_float(__fsqrt_rn(three));
  put_double(__ddiv_rn(1.0, 3.0));
  put_double(__dsqrt_rn(3.0));
  put_int(__float2int_rn(2.5f * one));
  put_int(__float2int_rn(3.5f * one));
  put_int(__float2int_rz(-2.5f * one));
  put_int(__float2int_rd(-2.5f * one));
  put_int(__float2int_ru(-2.5f * one));
  put_int(__float2int_rn(huge));  // 30
  put_int(__float2int_rn(-huge));
  put_int(__float2int_rn(nan));
  put(__float2uint_rn(-three));
  put(static_cast<unsigned long long>(__double2ll_rn(2.5 * one)));
  put(static_cast<unsigned long long>(__double2ll_rz(-2.5 * one)));
  put_float(__uint2float_rn(0xFFFFFFFFu));
  put_float(__double2float_rn(0.1));
  put_float(min(nan, three));
  put_float(max(three, nan));
}
void intrinsics(Stream& stream, std::uint64_t* out) {
  launch(stream, write_intrinsics, dim3(1), dim3(1), 0, 1.0f, 3.0f, 1e30f, __builtin_nanf(""), out);
}

}  // namespace

const Kernels& kernels() {
  static const Kernels all{.positions = positions,
                           .shuffle_int = shuffle<int>,
                           .shuffle_float = shuffle<float>,
                           .shuffle_long = shuffle<unsigned long long>,
                           .shuffle_double = shuffle<double>,
                           .votes = votes,
                           .block_votes = block_votes,
                           .reverse_static = reverse_static,
                           .reverse_dynamic = reverse_dynamic,
                           .transpose = transpose,
                           .atomics = atomics,
                           .last_block_sums = last_block_sums,
                           .copies = copies,
                           .multiply = multiply,
                           .intrinsics = intrinsics};
  return all;
}

}  // namespace lanner::simt_kernels::LANNER_GPU
