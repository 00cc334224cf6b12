// sort: the first k of each line along a dimension, in order, and their places. searchsorted: binary search. Both
// overwrite their results.
//
// An element and its place become one number of 64 bits, with the float's bits, in the order of integers, above the
// place. Numbers sort as wanted, and equal elements keep their order. A whole line is sorted by the digits of the upper
// half, from the lowest on. If k is much less than the line, one pass compares registers with the k-th best so far, and
// only elements before it become candidates. A full list of candidates is sorted and cut to k.
#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../rooms.h"
#include "../simd/vector.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using Key = uint64_t;

// Orders NaN last, and -0 as equal to 0.
uint32_t rank_of(float x) {
  if (x != x) return UINT32_MAX;
  if (x == 0) return 0x80000000u;
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
uint32_t rank_of(int32_t x) { return static_cast<uint32_t>(x) ^ 0x80000000u; }

template <bool descending, class T>
Key key_of(T x, int64_t place) {
  const uint32_t rank = descending ? ~rank_of(x) : rank_of(x);
  return static_cast<Key>(rank) << 32 | static_cast<uint32_t>(place);
}

void sort_by_insertion(Key* keys, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    const Key key = keys[i];
    int64_t at = i;
    for (; at > 0 && keys[at - 1] > key; at--) keys[at] = keys[at - 1];
    keys[at] = key;
  }
}

// Sorts keys whose places ascend, at least among equal ranks. The result lies in `keys` or in `room`.
Key* sort_keys(Key* keys, Key* room, int64_t n) {
  if (n <= insertion_most) {
    sort_by_insertion(keys, n);
    return keys;
  }
  constexpr int digits = 4, values = 256;
  uint32_t counts[digits][values] = {};
  for (int64_t i = 0; i < n; i++)
    for (int d = 0; d < digits; d++) counts[d][keys[i] >> (32 + 8 * d) & 255]++;
  for (int d = 0; d < digits; d++) {
    const int shift = 32 + 8 * d;
    if (counts[d][keys[0] >> shift & 255] == static_cast<uint32_t>(n)) continue;
    uint32_t starts[values];
    uint32_t start = 0;
    for (int v = 0; v < values; v++) starts[v] = start, start += counts[d][v];
    for (int64_t i = 0; i < n; i++) room[starts[keys[i] >> shift & 255]++] = keys[i];
    Key* const sorted = room;
    room = keys;
    keys = sorted;
  }
  return keys;
}

// The lanes where v certainly comes before the last of the chosen elements.
template <bool descending>
simd::Mask comes_before(simd::Vec v, simd::Vec last) {
  return descending ? ((v > last) | (v != v)) & (last == last) : ((v < last) | (last != last)) & (v == v);
}
template <bool descending>
simd::Mask comes_before(simd::VecI v, simd::VecI last) {
  return descending ? v > last : v < last;
}

simd::Vec spread(float x) { return simd::set(x); }
simd::VecI spread(int32_t x) { return simd::set_int(x); }

// The number of candidates that a line of n needs for its first k, at most all of it.
int64_t candidates_of(int64_t n, int64_t k) {
  const int64_t few = max(least_candidates, 4 * k);
  return few < n ? few : n;
}

// Finds the first k of a dense line, in order. They lie in `keys` or in `room`, which have room for candidates_of(n,
// k).
template <bool descending, class T>
const Key* first_of(const T* x, int64_t n, int64_t k, Key* keys, Key* room) {
  using namespace simd;
  const int64_t most = candidates_of(n, k);
  for (int64_t i = 0; i < most; i++) keys[i] = key_of<descending>(x[i], i);
  const Key* sorted = sort_keys(keys, room, most);
  if (most == n) return sorted;
  // The kept elements lie at the beginning of `keys`, in order. Elements before the last of them are appended.
  const auto keep = [&] {
    if (sorted != keys)
      for (int64_t i = 0; i < k; i++) keys[i] = sorted[i];
    return x[static_cast<uint32_t>(keys[k - 1])];
  };
  T last = keep();
  int64_t count = k;
  const auto add = [&](int64_t i) {
    keys[count++] = key_of<descending>(x[i], i);
    if (count < most) return;
    sorted = sort_keys(keys, room, count);
    last = keep();
    count = k;
  };
  int64_t i = most;
  for (; i + lanes <= n; i += lanes)
    for (int before = bits(comes_before<descending>(load(x + i), spread(last))); before != 0; before &= before - 1)
      add(i + __builtin_ctz(static_cast<unsigned>(before)));
  for (; i < n; i++)
    if (rank_of(x[i]) != rank_of(last) && descending == (rank_of(x[i]) > rank_of(last))) add(i);
  return sort_keys(keys, room, count);
}

// [outer, n, inner] around the dimension.
struct Lines {
  int64_t outer, n, inner, k;
};

template <bool descending, class T>
void sort_as(Context& context, const View& out, const View& indices, const View& x, const Lines& a) {
  const int64_t lines = a.outer * a.inner;
  const int64_t candidates = candidates_of(a.n, a.k);
  const Chunks chunks = {lines, 1 + sorted_chunk / a.n};
  // Two lists of keys, and the line itself if its elements lie apart.
  const int64_t line_floats = a.inner == 1 ? 0 : a.n;
  const Rooms rooms = make_rooms(context, 4 * candidates + line_floats, chunks);
  for_chunks(context, chunks, rooms, [&](int64_t first, int64_t end, float* memory) {
    Key* const keys = reinterpret_cast<Key*>(memory);
    T* const copy = reinterpret_cast<T*>(memory + 4 * candidates);
    for (int64_t line = first; line < end; line++) {
      const int64_t outer = line / a.inner, inner = line % a.inner;
      const T* from = pointer<const T>(x) + outer * a.n * a.inner + inner;
      if (a.inner != 1) {
        for (int64_t i = 0; i < a.n; i++) copy[i] = from[i * a.inner];
        from = copy;
      }
      const Key* const sorted = first_of<descending>(from, a.n, a.k, keys, keys + candidates);
      const int64_t begin = outer * a.k * a.inner + inner;
      for (int64_t j = 0; j < a.k; j++) {
        const int32_t place = static_cast<int32_t>(sorted[j]);
        pointer<T>(out)[begin + j * a.inner] = from[place];
        pointer<int32_t>(indices)[begin + j * a.inner] = place;
      }
    }
  });
}

template <class T>
void search_as(Context& context, const View& out, const View& sorted, const View& values, int64_t n, bool right) {
  const int64_t rows = n == 0 ? 1 : sorted.count / n, each = values.count / (rows > 0 ? rows : 1);
  for_items(context, {values.count, sorted_chunk / 4}, [&](int64_t i) {
    const T value = pointer<const T>(values)[i];
    const T* const row = pointer<const T>(sorted) + (n == 0 ? 0 : i / each * n);
    int64_t low = 0, high = n;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (right ? !(row[middle] > value) : !(row[middle] >= value))
        low = middle + 1;
      else
        high = middle;
    }
    pointer<int32_t>(out)[i] = static_cast<int32_t>(low);
  });
}

}  // namespace

void sort(Context& context, const View& out, const View& indices, const View& x, int64_t dim, bool descending) {
  bool fit = dim >= 0 && dim < x.ndim && same_shape(out, indices) && out.ndim == x.ndim && out.dtype == x.dtype &&
             indices.dtype == DType::int32;
  for (int d = 0; fit && d < x.ndim; d++)
    fit = d == dim ? out.sizes[d] <= x.sizes[d] && x.sizes[d] <= INT32_MAX : out.sizes[d] == x.sizes[d];
  if (!expect(context, fit, "sort: shapes, dtypes or dimension do not fit") || out.count == 0) return;
  Lines a = {1, x.sizes[dim], 1, out.sizes[dim]};
  for (int d = 0; d < x.ndim; d++)
    if (d != dim) (d < dim ? a.outer : a.inner) *= x.sizes[d];
  if (x.dtype == DType::float32)
    descending ? sort_as<true, float>(context, out, indices, x, a) : sort_as<false, float>(context, out, indices, x, a);
  else if (expect(context, x.dtype == DType::int32, "sort: expected float32 or int32"))
    descending ? sort_as<true, int32_t>(context, out, indices, x, a)
               : sort_as<false, int32_t>(context, out, indices, x, a);
}

void searchsorted(Context& context, const View& out, const View& sorted, const View& values, bool right) {
  bool fit = same_shape(out, values) && out.dtype == DType::int32 && sorted.dtype == values.dtype && sorted.ndim > 0 &&
             (sorted.ndim == 1 || sorted.ndim == values.ndim);
  for (int d = 0; fit && sorted.ndim > 1 && d < sorted.ndim - 1; d++) fit = sorted.sizes[d] == values.sizes[d];
  const int64_t n = fit ? sorted.sizes[sorted.ndim - 1] : 0;
  if (!expect(context, fit && n <= INT32_MAX, "searchsorted: shapes or dtypes do not fit") || out.count == 0) return;
  if (sorted.dtype == DType::float32)
    search_as<float>(context, out, sorted, values, n, right);
  else if (expect(context, sorted.dtype == DType::int32, "searchsorted: expected float32 or int32"))
    search_as<int32_t>(context, out, sorted, values, n, right);
}

}  // namespace firesteel::FIRESTEEL_ISA
