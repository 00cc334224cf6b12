// The division of a kernel's work between threads. Only the shape decides, so that results are equal for every number
// of threads.
//
// A kernel counts its work in items that are computed independently, such as rows or planes, and says how many items
// make a chunk. The sizes of chunks that several kernels need are functions here; the work of a chunk is a constant of
// the family (blocks.h).
#pragma once
#include "../core/kernel.h"
#include "integers.h"

namespace firesteel::FIRESTEEL_ISA {

// Items [0, items) in chunks of `size`; the last chunk may be smaller.
struct Chunks {
  int64_t items, size;
};

// Runs body(first, end) for the range of each chunk, on all threads.
template <class F>
static inline void for_chunks(Context& context, Chunks chunks, const F& body) {
  if (chunks.items <= 0) return;
  parallel(context, ceil_div(chunks.items, chunks.size), [&](int64_t chunk) {
    const int64_t first = chunk * chunks.size;
    body(first, min(first + chunks.size, chunks.items));
  });
}

// Runs body(item) for all items, on all threads. The items of a chunk run one after another on one thread.
template <class F>
static inline void for_items(Context& context, Chunks chunks, const F& body) {
  for_chunks(context, chunks, [&](int64_t first, int64_t end) {
    for (int64_t item = first; item < end; item++) body(item);
  });
}

// Chunks of `size` items. Items that would fill only two chunks become one, because waking a thread would cost more.
static inline Chunks undivided_to_two(int64_t items, int64_t size) { return {items, items <= 2 * size ? items : size}; }

// Chunks of as many items as make at least `work`, if an item costs `cost`.
static inline Chunks full_chunks(int64_t items, int64_t cost, int64_t work) {
  return {items, cost >= work ? 1 : min(max(1, items), ceil_div(work, max(1, cost)))};
}

// Chunks of about equal size and about `work`, if an item costs `cost`. Their number is a multiple of four, so that two
// or four threads end together, and their size is a multiple of `group`.
static inline Chunks even_chunks(int64_t items, int64_t cost, int64_t work, int64_t group = 1) {
  const int64_t wanted = ceil_div(items * cost, work);
  return {items, round_up(wanted > 1 ? ceil_div(items, round_up(wanted, 4)) : items, group)};
}

}  // namespace firesteel::FIRESTEEL_ISA
