// Reads and sums by index. An index outside [0, size) is recorded in the call's slot, and reads 0 or adds nothing.
//
// Sums follow the order of the index, without atomic additions. Sums of rows: the block of an index's first occurrence
// finds all places of the same index, in order, and adds their rows. Each thread makes count^2 / 256 comparisons; the
// memory traffic of the rows hides them up to some ten thousand indices. Sums of elements: a thread handles a line
// along the dimension, and no other thread writes to that line.
#include "index.h"
#include "indices.h"
#include "scalar.h"

using namespace firesteel::cuda;

namespace {

DEVICE bool in_range(uint64_t* wrong, int32_t index, int32_t size, int64_t position) {
  if (index >= 0 && index < size) return true;
  bring_least(wrong, uint64_t(position) << 32 | uint32_t(index));
  return false;
}

// T has the width of one element, or of 4.
template <class T>
DEVICE void select_rows(const RowIndex& job) {
  const int64_t total = job.outer * job.count * job.inner;
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < total; n += int64_t(gridDim.x) * 256) {
    const int64_t row = n / job.inner, within = n - row * job.inner;
    const int64_t outer = row / job.count, position = row - outer * job.count;
    const int32_t index = job.index[position];
    T value = {};
    if (in_range(job.wrong, index, job.size, position))
      value = load<T>(static_cast<const T*>(job.x) + (outer * job.size + index) * job.inner + within);
    store(static_cast<T*>(job.out) + n, value);
  }
}

constexpr int places_at_once = 256;

struct Places {
  int32_t of[places_at_once];
  uint32_t votes[8];
};

DEVICE float plus(float a, float b) { return a + b; }
DEVICE int32_t plus(int32_t a, int32_t b) { return int32_t(uint32_t(a) + uint32_t(b)); }

template <class T>
DEVICE void add_rows(const RowIndex& job) {
  SHARED(Places, places);
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const int64_t elements = job.outer * job.inner;
  for (int64_t position = blockIdx.x; position < job.count; position += gridDim.x) {
    const int32_t index = job.index[position];
    // The condition is the same for all threads, so that none of them waits alone below.
    if (index == job.skip && job.skip != -1) continue;
    if (index < 0 || index >= job.size) {
      if (thread == 0) bring_least(job.wrong, uint64_t(position) << 32 | uint32_t(index));
      continue;
    }
    bool first = true;
    for (int64_t before = thread; before < position && first; before += 256) first = job.index[before] != index;
    if (__syncthreads_or(!first)) continue;
    for (int64_t start = position; start < job.count; start += places_at_once) {
      const bool here = start + thread < job.count && job.index[start + thread] == index;
      const uint32_t votes = __ballot_sync(~0u, here);
      if (thread % 32 == 0) places.votes[thread / 32] = votes;
      __syncthreads();
      int32_t earlier = 0, all = 0;
      for (int32_t w = 0; w < 8; w++) {
        if (w < thread / 32) earlier += __popc(places.votes[w]);
        all += __popc(places.votes[w]);
      }
      if (here) places.of[earlier + __popc(votes & ((1u << thread % 32) - 1))] = thread;
      __syncthreads();
      for (int64_t e = thread; e < elements; e += 256) {
        const int64_t outer = e / job.inner, within = e - outer * job.inner;
        T* to = static_cast<T*>(job.out) + (outer * job.size + index) * job.inner + within;
        T sum = *to;
        for (int32_t p = 0; p < all; p++) {
          const int64_t from = (outer * job.count + start + places.of[p]) * job.inner + within;
          sum = plus(sum, static_cast<const T*>(job.x)[from]);
        }
        *to = sum;
      }
      __syncthreads();
    }
  }
}

struct LinePlace {
  int64_t index, large, small;
};

DEVICE LinePlace place_of(const ElementIndex& job, int64_t line) {
  LinePlace at = {0, 0, 0};
  uint32_t rest = static_cast<uint32_t>(line);
  for (int d = 0; d < job.dims; d++) {
    const uint32_t quotient = divide(rest, job.divisors[d]);
    const int64_t position = rest - quotient * job.divisors[d].size;
    at.index += position * job.index_strides[d];
    at.large += position * job.large_strides[d];
    at.small += position * job.small_strides[d];
    rest = quotient;
  }
  return at;
}

template <class T>
DEVICE void gather(const ElementIndex& job) {
  const int64_t total = job.lines * job.length;
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < total; n += int64_t(gridDim.x) * 256) {
    // Neighbouring threads have neighbouring lines, because neighbours along `dim` read from scattered places anyway.
    const int64_t k = n / job.lines, line = n - k * job.lines;
    const LinePlace at = place_of(job, line);
    const int64_t from = at.index + k * job.index_step;
    const int32_t index = job.index[from];
    T value = {};
    if (in_range(job.wrong, index, job.size, from))
      value = static_cast<const T*>(job.large)[at.large + index * job.large_step];
    static_cast<T*>(job.small)[at.small + k * job.small_step] = value;
  }
}

// Applies f(there, brought) to the elements of each line in order.
template <class T, class F>
DEVICE void scatter(const ElementIndex& job, const F& f) {
  for (int64_t line = int64_t(blockIdx.x) * 256 + threadIdx.x; line < job.lines; line += int64_t(gridDim.x) * 256) {
    const LinePlace at = place_of(job, line);
    for (int32_t k = 0; k < job.length; k++) {
      const int64_t from = at.index + k * job.index_step;
      const int32_t index = job.index[from];
      if (!in_range(job.wrong, index, job.size, from)) continue;
      T* to = static_cast<T*>(job.large) + at.large + index * job.large_step;
      *to = f(*to, static_cast<const T*>(job.small)[at.small + k * job.small_step]);
    }
  }
}

DEVICE float times(float a, float b) { return a * b; }
DEVICE int32_t times(int32_t a, int32_t b) { return int32_t(uint32_t(a) * uint32_t(b)); }
// The larger of two numbers; NaN if either is NaN.
DEVICE float larger(float a, float b) { return b != b ? b : largest(a, b); }
DEVICE float smaller(float a, float b) { return b != b ? b : smallest(a, b); }
DEVICE int32_t larger(int32_t a, int32_t b) { return largest(a, b); }
DEVICE int32_t smaller(int32_t a, int32_t b) { return smallest(a, b); }

struct alignas(16) Quad {
  uint32_t of[4];
};

}  // namespace

#define SELECT(name, T) \
  KERNEL(name, const __grid_constant__ RowIndex job) { select_rows<T>(job); }
SELECT(index_select_16, Quad)
SELECT(index_select_4, uint32_t)
SELECT(index_select_2, uint16_t)
SELECT(index_select_1, uint8_t)

KERNEL(index_add_float32, const __grid_constant__ RowIndex job) { add_rows<float>(job); }
KERNEL(index_add_int32, const __grid_constant__ RowIndex job) { add_rows<int32_t>(job); }

#define ELEMENTS(bytes, T)                                                             \
  KERNEL(gather_##bytes, const __grid_constant__ ElementIndex job) { gather<T>(job); } \
  KERNEL(scatter_##bytes, const __grid_constant__ ElementIndex job) {                  \
    scatter<T>(job, [](T, T brought) { return brought; });                             \
  }
ELEMENTS(4, uint32_t)
ELEMENTS(2, uint16_t)
ELEMENTS(1, uint8_t)

#define TOGETHER(name, T, f)                                               \
  KERNEL(name, const __grid_constant__ ElementIndex job) {                 \
    scatter<T>(job, [](T there, T brought) { return f(there, brought); }); \
  }
#define TOGETHERS(way, f)                     \
  TOGETHER(scatter_##way##_float32, float, f) \
  TOGETHER(scatter_##way##_int32, int32_t, f)
TOGETHERS(sum, plus)
TOGETHERS(product, times)
TOGETHERS(largest, larger)
TOGETHERS(smallest, smaller)
