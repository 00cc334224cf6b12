// Sorting of lines by a bitonic network over keys of 64 bits. A key holds the element, as an integer of the same order,
// in its upper half and the element's place in its lower half. So no two keys are equal, and equal elements keep their
// order. A line is padded to a power of two. Blocks sort 4096 keys at a time in shared memory. Steps between keys
// further apart go through global memory: a line of n elements needs log2(n / 4096)^2 / 2 of them, each of 16 bytes for
// each key.
//
// A search halves the range of a row for each value. Neighbouring values read the same elements first.
#include "scalar.h"
#include "sort_job.h"

using namespace firesteel::cuda;

namespace {

// The order of unsigned integers, in which NaN is largest and -0 is 0.
DEVICE uint32_t rank_of(float x) {
  if (x != x) return ~0u;
  const uint32_t bits = bits_of(x == 0.0f ? 0.0f : x);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
DEVICE uint32_t rank_of(int32_t x) { return static_cast<uint32_t>(x) ^ 0x80000000u; }

struct alignas(16) Keys {
  uint64_t of[sort_chunk];
};

DEVICE int64_t first_of_line(const Sort& job, int64_t line) {
  return line / job.inner * job.inner * job.size + line % job.inner;
}

template <class F>
DEVICE void for_elements(int64_t count, const F& f) {
  for (int64_t i = int64_t(blockIdx.x) * 256 + threadIdx.x; i < count; i += int64_t(gridDim.x) * 256) f(i);
}

template <class T>
DEVICE void make_keys(const Sort& job) {
  const T* x = static_cast<const T*>(job.x);
  for_elements(job.count, [&](int64_t i) {
    const int64_t line = i / job.padded, place = i % job.padded;
    uint32_t rank = ~0u;
    if (place < job.size) {
      rank = rank_of(x[first_of_line(job, line) + place * job.inner]);
      if (job.descending) rank = ~rank;
    }
    job.keys[i] = uint64_t(rank) << 32 | uint32_t(place);
  });
}

// Orders pair `number` of keys that are a stride apart, from place `first` among all. Runs rise and fall in turn, and
// the last one rises.
DEVICE void order_pair(uint64_t* keys, int64_t first, int32_t number, int32_t padded, int32_t run, int32_t stride) {
  const int32_t i = 2 * number - (number & (stride - 1));
  const bool rises = ((first + i) & (padded - 1) & run) == 0;
  const uint64_t a = keys[i], b = keys[i + stride];
  if ((a > b) != rises) return;
  keys[i] = b;
  keys[i + stride] = a;
}

// Takes a block's chunk through the strides that fit in it, either for all runs up to the size of a chunk or for the
// steps of job.run.
DEVICE void order_chunks(const Sort& job, bool from_single) {
  SHARED(Keys, keys);
  for (int64_t first = int64_t(blockIdx.x) * sort_chunk; first < job.count; first += int64_t(gridDim.x) * sort_chunk) {
    const int64_t left = job.count - first;
    const int32_t here = left < sort_chunk ? static_cast<int32_t>(left) : sort_chunk;
    for (int32_t i = threadIdx.x; i < here; i += 256) keys.of[i] = job.keys[first + i];
    __syncthreads();
    const int32_t last_run = from_single ? (job.padded < sort_chunk ? job.padded : sort_chunk) : job.run;
    for (int32_t run = from_single ? 2 : job.run; run <= last_run; run *= 2)
      for (int32_t stride = (run < sort_chunk ? run : sort_chunk) / 2; stride > 0; stride /= 2) {
        for (int32_t n = threadIdx.x; n < here / 2; n += 256) order_pair(keys.of, first, n, job.padded, run, stride);
        __syncthreads();
      }
    for (int32_t i = threadIdx.x; i < here; i += 256) job.keys[first + i] = keys.of[i];
    __syncthreads();
  }
}

// One step between keys that are further apart than a chunk.
DEVICE void order_pairs(const Sort& job) {
  for_elements(job.count / 2, [&](int64_t number) {
    const int64_t first = number / (job.padded / 2) * job.padded;
    order_pair(job.keys + first, first, static_cast<int32_t>(number % (job.padded / 2)), job.padded, job.run,
               job.stride);
  });
}

template <class T>
DEVICE void take(const Sort& job) {
  const T* x = static_cast<const T*>(job.x);
  T* out = static_cast<T*>(job.out);
  for_elements(job.lines * job.kept, [&](int64_t i) {
    const int64_t line = i % job.inner + i / job.inner / job.kept * job.inner, k = i / job.inner % job.kept;
    const auto place = static_cast<int32_t>(job.keys[line * job.padded + k]);
    out[i] = x[first_of_line(job, line) + place * job.inner];
    job.indices[i] = place;
  });
}

template <class T>
DEVICE void search(const Search& job) {
  const T* values = static_cast<const T*>(job.values);
  for_elements(job.count, [&](int64_t i) {
    const T value = values[i];
    const T* row = static_cast<const T*>(job.sorted) + i / job.values_of_row * job.size;
    int32_t low = 0, high = job.size;
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      // NaN counts as largest, both in the row and as the value.
      if (job.right ? !(row[middle] > value) : !(row[middle] >= value))
        low = middle + 1;
      else
        high = middle;
    }
    job.out[i] = low;
  });
}

}  // namespace

KERNEL(sort_keys_float32, const __grid_constant__ Sort job) { make_keys<float>(job); }
KERNEL(sort_keys_int32, const __grid_constant__ Sort job) { make_keys<int32_t>(job); }
KERNEL(sort_chunks, const __grid_constant__ Sort job) { order_chunks(job, true); }
KERNEL(sort_step, const __grid_constant__ Sort job) { order_pairs(job); }
KERNEL(sort_merge, const __grid_constant__ Sort job) { order_chunks(job, false); }
KERNEL(sort_take_float32, const __grid_constant__ Sort job) { take<float>(job); }
KERNEL(sort_take_int32, const __grid_constant__ Sort job) { take<int32_t>(job); }
KERNEL(search_float32, const __grid_constant__ Search job) { search<float>(job); }
KERNEL(search_int32, const __grid_constant__ Search job) { search<int32_t>(job); }
