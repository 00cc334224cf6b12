// index_select, embedding and gather copy the elements that an index names. index_add and scatter_add, their gradients,
// add into the elements that it names. scatter_into and scatter_accumulate copy into those elements, or combine them by
// sum, product, maximum or minimum.
//
// All overwrite their result, except for index_accumulate, scatter_into and scatter_accumulate, which change existing
// elements. An index outside its dimension, which includes negative ones, is recorded as an error of the call. It reads
// 0 and adds nothing. The order of a sum is that of the index for any number of threads, because threads divide the
// destination among themselves, never the index. 8 bytes an element, plus the index.
#include <string.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../elementwise/driver.h"
#include "../simd/blocks.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

void record_index(Context& context, int64_t index, int64_t position, int64_t dim, int64_t size) {
  if (size == 0)
    record_error(context, ErrorCode::index,
                 "index %lld at position %lld is out of range for dimension %lld of size 0, which is empty",
                 static_cast<long long>(index), static_cast<long long>(position), static_cast<long long>(dim));
  else
    record_error(context, ErrorCode::index,
                 "index %lld at position %lld is out of range for dimension %lld of size %lld; allowed are 0 to %lld",
                 static_cast<long long>(index), static_cast<long long>(position), static_cast<long long>(dim),
                 static_cast<long long>(size), static_cast<long long>(size - 1));
}

bool in_range(int64_t index, int64_t size) { return index >= 0 && index < size; }

// The lanes with low <= index < high; int32 can hold both bounds.
simd::Mask lanes_within(simd::VecI index, int64_t low, int64_t high) {
  return (index > simd::set_int(int32_t(low - 1))) & (index < simd::set_int(int32_t(high)));
}

// Records the first index that is neither in range nor `skip`. This happens before threads start, so the error is
// always the same one.
void check_indices(Context& context, const View& index, int64_t size, int64_t dim, int64_t skip) {
  const int32_t* at = pointer<const int32_t>(index);
  for (int64_t start = 0; start < index.count; start += simd::lanes) {
    const int64_t end = min(start + simd::lanes, index.count);
    if (end - start == simd::lanes && !any(~lanes_within(simd::load(at + start), 0, min(size, INT32_MAX)))) continue;
    for (int64_t i = start; i < end; i++)
      if (!in_range(at[i], size) && !(skip >= 0 && at[i] == skip)) return record_index(context, at[i], i, dim, size);
  }
}

// Calls body(position, index) for each index with low <= index < high, in order.
template <class F>
void for_indices_within(const int32_t* at, int64_t count, int64_t low, int64_t high, const F& body) {
  int64_t i = 0;
  if (high <= INT32_MAX)
    for (; i + simd::lanes <= count; i += simd::lanes)
      for (int within = bits(lanes_within(simd::load(at + i), low, high)); within != 0; within &= within - 1) {
        const int64_t position = i + __builtin_ctz(unsigned(within));
        body(position, int64_t(at[position]));
      }
  for (; i < count; i++)
    if (at[i] >= low && at[i] < high) body(i, int64_t(at[i]));
}

// x seen as [outer, size, inner] around dim.
struct Around {
  int64_t outer, size, inner;
};
Around around(const View& x, int64_t dim) {
  Around a = {1, x.sizes[dim], 1};
  for (int d = 0; d < x.ndim; d++)
    if (d != dim) (d < dim ? a.outer : a.inner) *= x.sizes[d];
  return a;
}

// `rows` has x's shape, except that its size at dim is the number of indices.
bool selects(Context& context, const View& rows, const View& x, const View& index, int64_t dim) {
  bool fit = rows.dtype == x.dtype && index.dtype == DType::int32 && dim >= 0 && dim < x.ndim && rows.ndim == x.ndim;
  for (int d = 0; fit && d < x.ndim; d++) fit = rows.sizes[d] == (d == dim ? index.count : x.sizes[d]);
  return expect(context, fit, "indexing: shapes, dtypes or dimension do not fit");
}

template <class T>
void select_rows(Context& context, const View& out, const View& x, const View& index, const Around& a) {
  const int32_t* at = pointer<const int32_t>(index);
  for_chunks(context, {a.outer * index.count, 1 + chunk_elements / (a.inner + 4)}, [&](int64_t first, int64_t end) {
    int64_t outer = first / index.count, i = first % index.count;
    for (int64_t row = first; row < end; row++, i++) {
      if (i == index.count) outer++, i = 0;
      const int64_t wanted = at[i];
      T* to = pointer<T>(out) + row * a.inner;
      if (!in_range(wanted, a.size)) {
        memset(to, 0, static_cast<size_t>(a.inner) * sizeof(T));
        continue;
      }
      const T* from = pointer<const T>(x) + (outer * a.size + wanted) * a.inner;
      if (a.inner == 1)
        *to = *from;
      else
        memcpy(to, from, static_cast<size_t>(a.inner) * sizeof(T));
    }
  });
}

// to += from
void add_row(float* to, const float* from, int64_t n) {
  map_registers([](simd::Vec a, simd::Vec b) { return a + b; }, n, to, static_cast<const float*>(to), from);
}

float sum_of(float a, float b) { return a + b; }
int32_t sum_of(int32_t a, int32_t b) { return int32_t(uint32_t(a) + uint32_t(b)); }  // wraps around
float product_of(float a, float b) { return a * b; }
int32_t product_of(int32_t a, int32_t b) { return int32_t(uint32_t(a) * uint32_t(b)); }

void add_row(int32_t* to, const int32_t* from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = sum_of(to[i], from[i]);
}

// gather and scatter_add: positions of index are [outer, count, inner] around dim, and large is [.., size, ..] with
// sizes that may be larger. Without the index's part, position (o, j, i) has the offset outer_offset(o) +
// inner_offset(i) in large.
struct Correspondence {
  int64_t outer, count, inner;
  int64_t size, step;  // of large, along dim
  const View* index;
  const View* large;
  int64_t dim;
  bool same_inner;  // whether inner_offset(i) is i
};

int64_t offset_of(const Correspondence& c, int64_t flat, int64_t first, int64_t last) {
  int64_t offset = 0;
  for (int64_t d = last; d >= first; d--) {
    offset += flat % c.index->sizes[d] * c.large->strides[d];
    flat /= c.index->sizes[d];
  }
  return offset;
}

bool correspond(Context& context, const View& small, const View& large, const View& index, int64_t dim,
                Correspondence* c) {
  bool fit = small.dtype == large.dtype && index.dtype == DType::int32 && dim >= 0 && dim < large.ndim &&
             index.ndim == large.ndim && same_shape(small, index);
  for (int d = 0; fit && d < large.ndim; d++) fit = d == dim || index.sizes[d] <= large.sizes[d];
  if (!expect(context, fit, "indexing: shapes, dtypes or dimension do not fit")) return false;
  const Around a = around(index, dim);
  *c = {a.outer, a.size, a.inner, large.sizes[dim], large.strides[dim], &index, &large, dim, true};
  for (int64_t d = dim + 1; d < large.ndim; d++) c->same_inner = c->same_inner && index.sizes[d] == large.sizes[d];
  return true;
}

// Calls element(position, offset without the index's part) for all positions, along dim in order, on one thread.
// `small` has the index's layout. Its elements are prefetched, because the parts of rows that are read lie far apart.
template <class T, class F>
void for_positions(Context& context, const Correspondence& c, const T* small, const F& element) {
  if (c.index->count == 0) return;
  constexpr int64_t rows_ahead = 8;
  const int32_t* const at = pointer<const int32_t>(*c.index);
  int64_t tile = min(inner_tile, c.inner);
  while (tile > least_tile && c.outer * ceil_div(c.inner, tile) < enough_units) tile = round_up(tile / 2, least_tile);
  const int64_t tiles = ceil_div(c.inner, tile), units = c.outer * tiles;
  for_items(context, {units, 1 + chunk_elements / (c.count * tile)}, [&](int64_t unit) {
    const int64_t o = unit / tiles, first = unit % tiles * tile, n = min(tile, c.inner - first);
    const int64_t base = offset_of(c, o, 0, c.dim - 1);
    const int64_t position = o * c.count * c.inner + first;
    const auto ask_for = [&](int64_t j) __attribute__((always_inline)) {
      const int64_t next = position + min(j + rows_ahead, c.count - 1) * c.inner;
      for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(at + next + i);
      for (int64_t i = 0; i < n; i += 64 / int64_t(sizeof(T))) __builtin_prefetch(small + next + i);
    };
    if (c.same_inner) {
      for (int64_t j = 0; j < c.count; j++) {
        ask_for(j);
        for (int64_t i = 0; i < n; i++) element(position + j * c.inner + i, base + first + i);
      }
      return;
    }
    int64_t offsets[inner_tile];
    for (int64_t i = 0; i < n; i++) offsets[i] = base + offset_of(c, first + i, c.dim + 1, c.large->ndim - 1);
    for (int64_t j = 0; j < c.count; j++)
      for (int64_t i = 0; i < n; i++) element(position + j * c.inner + i, offsets[i]);
  });
}

template <class T>
void gather_as(Context& context, const View& out, const View& x, const View& index, const Correspondence& c) {
  const int32_t* at = pointer<const int32_t>(index);
  T* to = pointer<T>(out);
  const T* from = pointer<const T>(x);
  const int64_t size = c.size, step = c.step;
  for_positions(
      context, c, to, [=](int64_t position, int64_t offset) __attribute__((always_inline)) {
        const int64_t wanted = at[position];
        to[position] = in_range(wanted, size) ? from[offset + wanted * step] : T(0);
      });
}

// Each unit owns a range of rows of the sum, and reads the whole index. The ranges are so few that this reading is
// little work beside the adding, and beside the clearing if the sum begins with 0.
template <class T>
void add_rows(Context& context, const View& sum, const View& dy, const View& index, int64_t dim, int64_t skip,
              bool clears) {
  if (!selects(context, dy, sum, index, dim)) return;
  check_indices(context, index, sum.sizes[dim], dim, skip);
  if (sum.count == 0) return;
  const Around a = around(sum, dim);
  const int32_t* at = pointer<const int32_t>(index);
  const int64_t elements = (index.count + (clears ? a.size : 0)) * a.inner;
  const int64_t ranges = min(min(min(16, 1 + a.inner / 8), 1 + elements / chunk_elements), a.size);
  const int64_t rows = ceil_div(a.size, ranges), units = a.outer * ranges;
  for_items(context, {units, 1 + chunk_elements / (elements / ranges + 1)}, [&](int64_t unit) {
    const int64_t o = unit / ranges, low = unit % ranges * rows, high = min(low + rows, a.size);
    if (low >= high) return;
    T* to = pointer<T>(sum) + o * a.size * a.inner;
    const T* from = pointer<const T>(dy) + o * index.count * a.inner;
    if (clears) memset(to + low * a.inner, 0, static_cast<size_t>((high - low) * a.inner) * sizeof(T));
    for_indices_within(at, index.count, low, high, [&](int64_t i, int64_t row) {
      if (skip >= 0 && row == skip) return;
      if (a.inner == 1)
        to[row] = sum_of(to[row], from[i]);
      else
        add_row(to + row * a.inner, from + i * a.inner, a.inner);
    });
  });
}

// value[index] = both(value[index], src), along dim in order.
template <class T, class F>
void scatter_by(Context& context, const View& value, const View& src, const View& index, const Correspondence& c,
                const F& both) {
  const int32_t* at = pointer<const int32_t>(index);
  T* to = pointer<T>(value);
  const T* from = pointer<const T>(src);
  const int64_t size = c.size, step = c.step;
  for_positions(
      context, c, from, [=](int64_t position, int64_t offset) __attribute__((always_inline)) {
        const int64_t wanted = at[position];
        if (!in_range(wanted, size)) return;
        T& found = to[offset + wanted * step];
        found = both(found, from[position]);
      });
}

template <class T>
void accumulate_as(Context& context, const View& value, const View& src, const View& index, const Correspondence& c,
                   int64_t by) {
  const auto run = [&](const auto& both) { scatter_by<T>(context, value, src, index, c, both); };
  // A NaN, which does not equal itself, remains.
  switch (by) {
    case 0:
      return run([](T a, T b) { return sum_of(a, b); });
    case 1:
      return run([](T a, T b) { return product_of(a, b); });
    case 2:
      return run([](T a, T b) { return b > a || b != b ? b : a; });
    default:
      return run([](T a, T b) { return b < a || b != b ? b : a; });
  }
}

// A rank of 0 is a vector of one.
View as_vector(const View& view) {
  View v = view;
  if (v.ndim > 0) return v;
  v.ndim = 1;
  v.sizes[0] = 1;
  v.strides[0] = 1;
  return v;
}

}  // namespace

void index_select(Context& context, const View& out, const View& x, const View& index, int64_t dim) {
  if (!selects(context, out, x, index, dim)) return;
  check_indices(context, index, x.sizes[dim], dim, -1);
  if (out.count == 0) return;
  Around a = around(x, dim);
  if (simd::is_blocks(out.dtype)) {
    if (!expect(context, dim < x.ndim - 1,
                "index_select: rows of blocks can be selected, but not elements within a row"))
      return;
    a.inner = simd::bytes_of_blocks(out.dtype, a.inner);
    return select_rows<uint8_t>(context, out, x, index, a);
  }
  switch (element_size(out.dtype)) {
    case 4:
      return select_rows<uint32_t>(context, out, x, index, a);
    case 2:
      return select_rows<uint16_t>(context, out, x, index, a);
    default:
      return select_rows<uint8_t>(context, out, x, index, a);
  }
}

void embedding(Context& context, const View& out, const View& weight, const View& ids) {
  bool fit = weight.ndim == 2 && out.ndim == ids.ndim + 1 && out.sizes[ids.ndim] == weight.sizes[1];
  for (int d = 0; fit && d < ids.ndim; d++) fit = out.sizes[d] == ids.sizes[d];
  if (!expect(context, fit, "embedding: shapes do not fit")) return;
  View rows = out;
  rows.ndim = 2;
  rows.sizes[0] = ids.count;
  rows.sizes[1] = weight.sizes[1];
  index_select(context, rows, weight, ids, 0);
}

void index_add(Context& context, const View& dx, const View& dy, const View& index, int64_t dim, int64_t skip) {
  if (!expect(context, dx.dtype == DType::float32, "index_add: expected float32")) return;
  add_rows<float>(context, dx, dy, index, dim, skip, true);
}

void index_accumulate(Context& context, const View& sum, const View& dy, const View& index, int64_t dim, int64_t skip) {
  if (sum.dtype == DType::int32) return add_rows<int32_t>(context, sum, dy, index, dim, skip, false);
  if (!expect(context, sum.dtype == DType::float32, "index_accumulate: expected float32 or int32")) return;
  add_rows<float>(context, sum, dy, index, dim, skip, false);
}

void gather(Context& context, const View& out, const View& x, const View& index, int64_t dim) {
  const View o = as_vector(out), source = as_vector(x), at = as_vector(index);
  Correspondence c;
  if (!correspond(context, o, source, at, dim, &c)) return;
  check_indices(context, at, c.size, dim, -1);
  switch (element_size(out.dtype)) {
    case 4:
      return gather_as<uint32_t>(context, o, source, at, c);
    case 2:
      return gather_as<uint16_t>(context, o, source, at, c);
    default:
      return gather_as<uint8_t>(context, o, source, at, c);
  }
}

void scatter_add(Context& context, const View& dx, const View& dy, const View& index, int64_t dim) {
  const View to = as_vector(dx), from = as_vector(dy), at = as_vector(index);
  Correspondence c;
  if (!correspond(context, from, to, at, dim, &c)) return;
  if (!expect(context, dx.dtype == DType::float32, "scatter_add: expected float32")) return;
  check_indices(context, at, c.size, dim, -1);
  for_chunks(context, {dx.count, chunk_elements}, [&](int64_t start, int64_t end) {
    memset(pointer<float>(dx) + start, 0, static_cast<size_t>(end - start) * sizeof(float));
  });
  const int32_t* indices = pointer<const int32_t>(at);
  float* sums = pointer<float>(dx);
  const float* terms = pointer<const float>(dy);
  const int64_t size = c.size, step = c.step;
  for_positions(
      context, c, terms, [=](int64_t position, int64_t offset) __attribute__((always_inline)) {
        const int64_t wanted = indices[position];
        if (in_range(wanted, size)) sums[offset + wanted * step] += terms[position];
      });
}

void scatter_into(Context& context, const View& dst, const View& src, const View& index, int64_t dim) {
  const View to = as_vector(dst), from = as_vector(src), at = as_vector(index);
  Correspondence c;
  if (!correspond(context, from, to, at, dim, &c)) return;
  check_indices(context, at, c.size, dim, -1);
  const auto second = [](auto, auto b) { return b; };
  switch (element_size(dst.dtype)) {
    case 4:
      return scatter_by<uint32_t>(context, to, from, at, c, second);
    case 2:
      return scatter_by<uint16_t>(context, to, from, at, c, second);
    default:
      return scatter_by<uint8_t>(context, to, from, at, c, second);
  }
}

void scatter_accumulate(Context& context, const View& value, const View& src, const View& index, int64_t dim,
                        int64_t by) {
  const View to = as_vector(value), from = as_vector(src), at = as_vector(index);
  Correspondence c;
  if (!correspond(context, from, to, at, dim, &c)) return;
  if (!expect(context, by >= 0 && by <= 3, "scatter_accumulate: unknown reduction")) return;
  check_indices(context, at, c.size, dim, -1);
  if (value.dtype == DType::int32) return accumulate_as<int32_t>(context, to, from, at, c, by);
  if (!expect(context, value.dtype == DType::float32, "scatter_accumulate: expected float32 or int32")) return;
  accumulate_as<float>(context, to, from, at, c, by);
}

}  // namespace firesteel::FIRESTEEL_ISA
