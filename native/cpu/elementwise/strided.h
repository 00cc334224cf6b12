// Reads a tensor of any strides as if it were dense, in row-major order of its shape, block by block.
//
// A block that lies in memory in that order is used in place. A block that is broadcast, transposed or sliced is first
// gathered into a small buffer. Gathering costs one pass through the first-level cache. In return, kernels have a
// single loop, over dense memory.
#pragma once
#include <string.h>

#include "../../core/kernel.h"
#include "../integers.h"

namespace firesteel::FIRESTEEL_ISA {

// Elements in a staged block. Four buffers of 4 bytes an element take half of a first-level cache.
constexpr int64_t block_size = 1024;
// A row shorter than this is staged even if it is dense, because calling the loop costs more than the copy.
constexpr int64_t shortest_row = 256;

enum class Layout : uint8_t { dense, uniform, rows };

// A view whose dimensions are merged as far as its strides allow. Dimensions of size 1 are left out.
template <class T>
struct Reader {
  const T* data;
  Layout layout;
  int slot;  // the number of its buffer
  int ndim;
  int64_t sizes[max_dims], strides[max_dims];
};

static inline size_t element_size(DType dtype) {
  switch (dtype) {
    case DType::float32:
    case DType::int32:
      return 4;
    case DType::bfloat16:
    case DType::float16:
      return 2;
    default:
      return 1;
  }
}

static inline bool is_dense(const View& view) {
  int64_t expected = 1;
  for (int d = view.ndim - 1; d >= 0; d--) {
    if (view.sizes[d] != 1 && view.strides[d] != expected) return false;
    expected *= view.sizes[d];
  }
  return true;
}

template <class T>
static inline Reader<T> make_reader(const View& view, int slot) {
  Reader<T> r;
  r.data = static_cast<const T*>(view.data);
  r.slot = slot;
  r.layout = Layout::dense;
  r.ndim = 0;
  if (is_dense(view)) return r;
  for (int d = 0; d < view.ndim; d++) {
    int64_t size = view.sizes[d], stride = view.strides[d];
    if (size == 1) continue;
    if (r.ndim > 0 && r.strides[r.ndim - 1] == stride * size) {
      r.sizes[r.ndim - 1] *= size;
      r.strides[r.ndim - 1] = stride;
    } else {
      r.sizes[r.ndim] = size;
      r.strides[r.ndim] = stride;
      r.ndim++;
    }
  }
  r.layout = r.ndim == 1 && r.strides[0] == 0 ? Layout::uniform : Layout::rows;
  return r;
}

// Copies elements [start, start + n) into `to`. Only for Layout::rows.
template <class T>
static void gather_block(const Reader<T>& r, int64_t start, int64_t n, T* to) {
  int64_t index[max_dims];
  const T* from = r.data;
  for (int d = r.ndim - 1; d >= 0; d--) {
    index[d] = start % r.sizes[d];
    start /= r.sizes[d];
    from += index[d] * r.strides[d];
  }
  const int last = r.ndim - 1;
  const int64_t stride = r.strides[last];
  while (true) {
    int64_t run = r.sizes[last] - index[last];
    if (run > n) run = n;
    if (stride == 1)
      memcpy(to, from, static_cast<size_t>(run) * sizeof(T));
    else if (stride == 0)
      for (int64_t i = 0; i < run; i++) to[i] = *from;
    else
      for (int64_t i = 0; i < run; i++) to[i] = from[i * stride];
    to += run;
    n -= run;
    if (n == 0) return;
    from -= index[last] * stride;
    index[last] = 0;
    for (int d = last - 1; d >= 0; d--) {
      from += r.strides[d];
      if (++index[d] < r.sizes[d]) break;
      from -= r.sizes[d] * r.strides[d];
      index[d] = 0;
    }
  }
}

// Must be called once for a buffer before read_block.
template <class T>
static inline void prepare_buffer(const Reader<T>& r, int64_t n, T* buffer) {
  if (r.layout != Layout::uniform) return;
  const T value = *r.data;
  for (int64_t i = 0; i < n; i++) buffer[i] = value;
}

// The address of elements [start, start + n) if they lie in a dense row long enough to be used in place, else null.
template <class T>
static inline const T* find_row(const Reader<T>& r, int64_t start, int64_t n) {
  const int last = r.ndim - 1;
  if (r.strides[last] != 1 || n < shortest_row || start % r.sizes[last] + n > r.sizes[last]) return nullptr;
  const T* from = r.data;
  for (int d = last; d >= 0; d--) {
    from += start % r.sizes[d] * r.strides[d];
    start /= r.sizes[d];
  }
  return from;
}

// Elements [start, start + n) as dense memory, where n <= block_size unless the layout is dense.
template <class T>
static inline const T* read_block(const Reader<T>& r, int64_t start, int64_t n, T* buffer) {
  if (r.layout == Layout::dense) return r.data + start;
  if (r.layout == Layout::uniform) return buffer;
  if (const T* row = find_row(r, start, n)) return row;
  gather_block(r, start, n, buffer);
  return buffer;
}

// The length of rows that blocks should not straddle, so that read_block need not copy, or 0 if there are none.
template <class T>
static inline int64_t row_length(const Reader<T>& r) {
  if (r.layout != Layout::rows) return 0;
  const int last = r.ndim - 1;
  return r.strides[last] == 1 && r.sizes[last] >= shortest_row ? r.sizes[last] : 0;
}

}  // namespace firesteel::FIRESTEEL_ISA
