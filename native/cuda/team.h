// Threads that work on one row together: a single thread, a warp or a block. Their sums are trees of one form.
#pragma once
#include "scalar.h"

namespace firesteel::cuda {

constexpr int warps_of_block = 8;

template <class T>
struct OfWarps {
  T of[warps_of_block];
};

// Combines the values of a team's threads. Each thread gets the result. `together` must be commutative.
template <int size, class T, class F>
DEVICE T combine(T value, const F& together) {
  if constexpr (size >= 32)
    for (int lanes = 16; lanes > 0; lanes /= 2) value = together(value, __shfl_xor_sync(~0u, value, lanes));
  if constexpr (size > 32) {
    SHARED(OfWarps<T>, parts);
    if (threadIdx.x % 32 == 0) parts.of[threadIdx.x / 32] = value;
    __syncthreads();
    value = parts.of[0];
    for (int w = 1; w < warps_of_block; w++) value = together(value, parts.of[w]);
    // The barrier is needed because the next call overwrites the parts.
    __syncthreads();
  }
  return value;
}

template <int size, class T>
DEVICE T sum_of(T value) {
  return combine<size>(value, [](T a, T b) { return a + b; });
}
template <int size, class T>
DEVICE T largest_of(T value) {
  return combine<size>(value, [](T a, T b) { return largest(a, b); });
}

// Calls row(number) for the rows of this thread's team.
template <int size, class F>
DEVICE void for_rows(int64_t rows, const F& row) {
  constexpr int teams = 256 / size;
  for (int64_t r = int64_t(blockIdx.x) * teams + threadIdx.x / size; r < rows; r += int64_t(gridDim.x) * teams) row(r);
}

template <int size>
DEVICE int32_t rank_in_team() {
  return static_cast<int32_t>(threadIdx.x % size);
}

// The largest value seen so far and the sum of exp(x - largest), computed in one pass.
struct Exponentials {
  float largest, sum;
};

DEVICE void add(Exponentials& to, float x) {
  if (x > to.largest) {
    to.sum = to.sum * expf(to.largest - x) + 1.0f;
    to.largest = x;
  } else if (x != -INFINITY) {
    to.sum += expf(x - to.largest);
  }
}

template <int size>
DEVICE Exponentials of_team(const Exponentials& mine) {
  const float all = largest_of<size>(mine.largest);
  const float share = mine.sum == 0.0f ? 0.0f : mine.sum * expf(mine.largest - all);
  return {all, sum_of<size>(share)};
}

}  // namespace firesteel::cuda

// Defines the entries <name>_1, <name>_32 and <name>_256, by the size of the team.
#define BY_TEAMS(name, Job, body)                                       \
  KERNEL(name##_1, const __grid_constant__ Job job) { body<1>(job); }   \
  KERNEL(name##_32, const __grid_constant__ Job job) { body<32>(job); } \
  KERNEL(name##_256, const __grid_constant__ Job job) { body<256>(job); }
