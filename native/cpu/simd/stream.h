// Writes results that are too large to stay in a cache past it. An ordinary store first reads the line that it is about
// to overwrite, which is a third of the traffic of out = f(x).
#pragma once
#include "row.h"

namespace firesteel::FIRESTEEL_ISA::simd {

// The least bytes of a result that is written past the caches. Together with two operands of the same size it fills the
// last cache (32 MB are usual), so its memory is no longer cached from the last use. An ordinary store would then read
// it, and finally write it back. A reader that finds nothing in the cache pays as much. Smaller results are often still
// cached.
constexpr int64_t streaming_bytes = (int64_t(1) << 25) / 3;
// Short rows are not worth it, because their ends share cache lines, which would be written in parts.
FIRESTEEL_INLINE bool streams_rows(int64_t rows, int64_t columns) {
  return columns >= 256 && rows >= streaming_bytes / int64_t(sizeof(float)) / columns;
}

// `p` is aligned to a register. finish_streaming() follows the last call of a chunk of work.
FIRESTEEL_INLINE void store_past_caches(float* p, Vec a) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  _mm512_stream_ps(p, a.v);
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  _mm256_stream_ps(p, a.v);
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_base && defined(__SSE2__)
  _mm_stream_ps(p, a.v);
#else
  store(p, a);
#endif
}
FIRESTEEL_INLINE void store_past_caches(int32_t* p, VecI a) {
  store_past_caches(reinterpret_cast<float*>(p), as_float(a));
}
FIRESTEEL_INLINE void finish_streaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// Elements from p to the next place that is aligned to a register.
template <class T>
FIRESTEEL_INLINE int64_t to_alignment(const T* p) {
  static_assert(sizeof(T) == 4);
  return -int64_t(reinterpret_cast<uintptr_t>(p) / sizeof(T)) & (lanes - 1);
}

// to[0, n) = body(i, count), where body returns registers of the results of elements [i, i + count), and count is
// `lanes` except at the ends. If it streams, or the row is long, the first register is cut so that the others are
// aligned in `to`. Inputs of the same width are aligned then too. Otherwise each register of a row whose width is odd
// would lie in two cache lines.
constexpr int64_t least_aligned = 256;
template <class F>
FIRESTEEL_INLINE void write_row(float* to, int64_t n, bool stream, const F& body) {
  int64_t i = 0;
  if (stream || n >= least_aligned) {
    const int64_t head = to_alignment(to);
    if (head > 0 && head <= n) {
      store_partial(to, body(int64_t(0), head), head);
      i = head;
    }
  }
  if (stream)
    for (; i + lanes <= n; i += lanes) store_past_caches(to + i, body(i, int64_t(lanes)));
  else
    for (; i + lanes <= n; i += lanes) store(to + i, body(i, int64_t(lanes)));
  if (i < n) store_partial(to + i, body(i, n - i), n - i);
}

// Fills n elements with `value`.
template <class T>
FIRESTEEL_INLINE void write_same(T* to, int64_t n, T value, bool stream) {
  constexpr int64_t held = int64_t(lanes * sizeof(float) / sizeof(T));
  int64_t i = 0;
  if (stream) {
    T room[held];
    for (T& element : room) element = value;
    Vec all;
    memcpy(&all.v, room, sizeof room);
    for (; i < n && reinterpret_cast<uintptr_t>(to + i) % sizeof room != 0; i++) to[i] = value;
    for (; i + held <= n; i += held) store_past_caches(reinterpret_cast<float*>(to + i), all);
    finish_streaming();
  }
  for (; i < n; i++) to[i] = value;
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
