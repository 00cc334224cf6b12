// sum, amax, amin over any set of dimensions: out (overwritten) has x's rank and 1 where x is reduced.
//
// The dimensions are sorted by x's stride, so that memory is walked in its own order whatever the shape is, and merged.
// Then the innermost one decides:
//   reduced   a row of x folds into one number: sums over classes, [N, C, HW] -> [C], everything
//   kept      rows of x fold into a row of numbers: bias gradients [N, M] -> [M]
// Both cut the reduced space into segments of a fixed size (by shape only), fold each into a partial result on any
// thread, and join the partial results in order.
//
// Sums of float32 add at most 128 terms (rows), or 32 to 64 (within a row), in float32 to one of several partial sums.
// These are then added in float64, so the error hardly grows with the length. A sum of int32 that int32 cannot hold is
// an error of the call. Reads 4 bytes an element.
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../elementwise/driver.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

// A dimension of x: `to` is out's stride, 0 where reduced.
struct Axis {
  int64_t size, from, to;
};
struct Axes {
  int n = 0;
  Axis items[max_dims];
};

int64_t product(const Axes& axes) {
  int64_t p = 1;
  for (int d = 0; d < axes.n; d++) p *= axes.items[d].size;
  return p;
}

// Offsets of the index-th combination, the last axis fastest.
struct Offsets {
  int64_t from, to;
};
Offsets locate(const Axes& axes, int64_t index) {
  Offsets at = {0, 0};
  for (int d = axes.n - 1; d >= 0; d--) {
    const int64_t i = index % axes.items[d].size;
    index /= axes.items[d].size;
    at.from += i * axes.items[d].from;
    at.to += i * axes.items[d].to;
  }
  return at;
}

// Units of `cost` elements in chunks of just over `work`, but in a single chunk if they are little work.
Chunks chunks_of(int64_t units, int64_t cost, int64_t work = segment_elements) {
  return {units, 1 + (units * cost <= 2 * segment_elements ? units : work / cost)};
}

int64_t stride_size(int64_t stride) { return stride < 0 ? -stride : stride; }

void merge(Axes* axes) {
  int n = 0;
  for (int d = 0; d < axes->n; d++) {
    const Axis axis = axes->items[d];
    Axis* last = n > 0 ? &axes->items[n - 1] : nullptr;
    if (last && last->from == axis.from * axis.size && last->to == axis.to * axis.size)
      *last = {last->size * axis.size, axis.from, axis.to};
    else
      axes->items[n++] = axis;
  }
  axes->n = n;
}

// Splits x's dimensions into kept and reduced ones, each sorted from the largest stride to the smallest and merged.
bool split_axes(Context& context, const View& out, const View& x, Axes* kept, Axes* reduced) {
  if (!expect(context, out.ndim == x.ndim, "reduction: the ranks differ")) return false;
  for (int d = 0; d < x.ndim; d++) {
    if (!expect(context, out.sizes[d] == x.sizes[d] || out.sizes[d] == 1, "reduction: out must have x's size or 1"))
      return false;
    if (x.sizes[d] == 1) continue;
    const bool keep = out.sizes[d] == x.sizes[d];
    Axes& axes = keep ? *kept : *reduced;
    const Axis axis = {x.sizes[d], x.strides[d], keep ? out.strides[d] : 0};
    int at = axes.n++;
    for (; at > 0 && stride_size(axes.items[at - 1].from) < stride_size(axis.from); at--)
      axes.items[at] = axes.items[at - 1];
    axes.items[at] = axis;
  }
  merge(kept);
  merge(reduced);
  return true;
}

// Prefetches 1 KB ahead of a step of four registers in a row of n. Short rows are often neighbours, which the processor
// notices too late. Long rows it notices by itself, and the memory after them may not be needed.
template <class T>
FIRESTEEL_INLINE void prefetch_ahead(const T* x, int64_t n) {
  if (n > 1024) return;
  for (int i = 0; i < 4 * simd::lanes; i += 16) __builtin_prefetch(x + 256 + i);
}

// A fold is a number of type Total. It starts at `start`, takes rows of T (of n elements, or down the columns), joins
// others, and becomes an element of out. The loops are not inlined, because there would be four copies of each.
struct SumOfFloats {
  using T = float;
  using Total = double;
  static constexpr Total start = 0;
  static Total join(Total a, Total b) { return a + b; }
  __attribute__((noinline)) static Total row(const float* x, int64_t n) {
    using namespace simd;
    const int64_t length = n;
    Total total = 0;
    if (n < 4) {
      for (int64_t i = 0; i < n; i++) total += static_cast<Total>(x[i]);
      return total;
    }
    while (n > 0) {
      const int64_t m = min(float_row, n);
      Vec a = zero(), b = zero(), c = zero(), d = zero();
      int64_t i = 0;
      for (; i + 4 * lanes <= m; i += 4 * lanes) {
        prefetch_ahead(x + i, length);
        a = a + load(x + i);
        b = b + load(x + i + lanes);
        c = c + load(x + i + 2 * lanes);
        d = d + load(x + i + 3 * lanes);
      }
      for (; i + lanes <= m; i += lanes) a = a + load(x + i);
      if (i < m) b = b + load_partial(x + i, m - i);
      total += static_cast<Total>(reduce_add((a + b) + (c + d)));
      x += m;
      n -= m;
    }
    return total;
  }
  // totals[j] += the sum of x[r][j] over rows r; n <= column_tile.
  __attribute__((noinline)) static void columns(const float* x, int64_t stride, int64_t rows, int64_t n,
                                                Total* totals) {
    using namespace simd;
    float sums[column_tile];
    for (int64_t begin = 0; begin < rows; begin += float_rows) {
      const int64_t end = min(begin + float_rows, rows);
      memset(sums, 0, static_cast<size_t>(n) * sizeof(float));
      auto add = [&](const float* p, auto... more) {
        map_registers([](Vec total, auto... v) { return total + (v + ...); }, n, sums, static_cast<const float*>(sums),
                      p, more...);
      };
      int64_t r = begin;
      for (; r + 4 <= end; r += 4) {
        const float* p = x + r * stride;
        add(p, p + stride, p + 2 * stride, p + 3 * stride);
      }
      for (; r < end; r++) add(x + r * stride);
      for (int64_t j = 0; j < n; j++) totals[j] += static_cast<Total>(sums[j]);
    }
  }
  static void finish(Context&, const View& out, int64_t at, Total total, double scale) {
    const float sum = static_cast<float>(total * scale);
    if (out.dtype == DType::float32)
      pointer<float>(out)[at] = sum;
    else
      simd::narrow_bfloat16(1, pointer<uint16_t>(out) + at, &sum);
  }
};

// Widens bfloat16 into the first-level cache.
struct SumOfHalves {
  using T = uint16_t;
  using Total = double;
  static constexpr Total start = 0;
  static Total join(Total a, Total b) { return a + b; }
  __attribute__((noinline)) static Total row(const uint16_t* x, int64_t n) {
    alignas(64) float wide[float_row];
    Total total = 0;
    for (int64_t i = 0; i < n; i += float_row) {
      const int64_t m = min(float_row, n - i);
      simd::widen_bfloat16(m, wide, x + i);
      total += SumOfFloats::row(wide, m);
    }
    return total;
  }
  __attribute__((noinline)) static void columns(const uint16_t* x, int64_t stride, int64_t rows, int64_t n,
                                                Total* totals) {
    alignas(64) float wide[rows_together * column_tile];
    for (int64_t r = 0; r < rows; r += rows_together) {
      const int64_t m = min(rows_together, rows - r);
      for (int64_t k = 0; k < m; k++) simd::widen_bfloat16(n, wide + k * n, x + (r + k) * stride);
      SumOfFloats::columns(wide, n, m, n, totals);
    }
  }
  static void finish(Context& context, const View& out, int64_t at, Total total, double scale) {
    SumOfFloats::finish(context, out, at, total, scale);
  }
};

struct SumOfInts {
  using T = int32_t;
  using Total = int64_t;  // the sum of 2^32 elements does not overflow it
  static constexpr Total start = 0;
  static Total join(Total a, Total b) { return a + b; }
  __attribute__((noinline)) static Total row(const int32_t* x, int64_t n) {
    Total total = 0;
    for (int64_t i = 0; i < n; i++) total += x[i];
    return total;
  }
  __attribute__((noinline)) static void columns(const int32_t* x, int64_t stride, int64_t rows, int64_t n,
                                                Total* totals) {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t j = 0; j < n; j++) totals[j] += x[r * stride + j];
  }
  static void finish(Context& context, const View& out, int64_t at, Total total, double scale) {
    const double sum = scale * static_cast<double>(total);
    if (!(sum >= INT32_MIN && sum <= INT32_MAX)) {
      // The error names no place, because the threads' timing decides which of several faults is found first.
      record_error(context, ErrorCode::value,
                   "a sum is beyond what int32 holds; convert the tensor with .to('float32') before it is summed");
      pointer<int32_t>(out)[at] = 0;
      return;
    }
    pointer<int32_t>(out)[at] = static_cast<int32_t>(sum);
  }
};

// Order decides between the largest and the smallest; NaN wins over both.
template <class Element, bool largest>
struct Extreme {
  using T = Element;
  using Total = Element;
  static constexpr bool real = Element(0.5f) != Element(0);
  static constexpr Total start = real ? Total(largest ? -INFINITY : INFINITY) : Total(largest ? INT32_MIN : INT32_MAX);
  static Total join(Total a, Total b) { return (largest ? a > b : a < b) || a != a ? a : b; }
  static auto better(auto a, auto b) {
    if constexpr (largest)
      return simd::max(a, b);
    else
      return simd::min(a, b);
  }
  // There are no branches, because the lane that holds the extreme cannot be predicted.
  static float across(simd::Vec a) { return largest ? simd::reduce_max(a) : simd::reduce_min(a); }
  static int32_t across(simd::VecI a) {
    int32_t each[simd::lanes], best = start;
    simd::store(each, a);
    for (int32_t value : each) best = (largest ? value > best : value < best) ? value : best;
    return best;
  }
  __attribute__((noinline)) static Total row(const T* x, int64_t n) {
    using namespace simd;
    const int64_t length = n;
    Total total = start;
    int64_t i = 0;
    if (n >= 4 * lanes) {
      auto a = load(x), b = load(x + lanes), c = load(x + 2 * lanes), d = load(x + 3 * lanes);
      for (i = 4 * lanes; i + 4 * lanes <= n; i += 4 * lanes) {
        prefetch_ahead(x + i, length);
        a = better(a, load(x + i));
        b = better(b, load(x + i + lanes));
        c = better(c, load(x + i + 2 * lanes));
        d = better(d, load(x + i + 3 * lanes));
      }
      total = across(better(better(a, b), better(c, d)));
    }
    for (; i < n; i++) total = join(total, x[i]);
    return total;
  }
  __attribute__((noinline)) static void columns(const T* x, int64_t stride, int64_t rows, int64_t n, Total* totals) {
    for (int64_t r = 0; r < rows; r++)
      map_registers([](auto a, auto b) { return better(a, b); }, n, totals, static_cast<const T*>(totals),
                    x + r * stride);
  }
  static void finish(Context&, const View& out, int64_t at, Total total, double) { pointer<T>(out)[at] = total; }
};

// Elements step apart.
template <class Fold>
typename Fold::Total strided_row(const typename Fold::T* x, int64_t n, int64_t step) {
  if (step == 1) return Fold::row(x, n);
  typename Fold::T part[block_size];
  typename Fold::Total total = Fold::start;
  while (n > 0) {
    const int64_t m = min(n, block_size);
    for (int64_t i = 0; i < m; i++) part[i] = x[i * step];
    total = Fold::join(total, Fold::row(part, m));
    x += m * step;
    n -= m;
  }
  return total;
}

// The innermost axis is reduced, or nothing is kept. Each output is a number of rows of length `row`. A segment is a
// piece of a row, or several rows.
template <class Fold>
void fold_rows(Context& context, const View& out, const View& x, const Axes& kept, Axes reduced, double scale) {
  using T = typename Fold::T;
  using Total = typename Fold::Total;
  Axis row = {1, 1, 0};
  if (reduced.n > 0) row = reduced.items[--reduced.n];
  const int64_t outputs = product(kept), rows = product(reduced);
  const int64_t piece = min(row.size, segment_elements);
  const int64_t pieces = piece > 0 ? ceil_div(row.size, piece) : 0;
  const int64_t rows_a_segment = pieces == 1 ? min(rows, segment_elements / piece) : 1;
  const int64_t segments = pieces == 0 || rows == 0 ? 0 : pieces * ceil_div(rows, rows_a_segment);

  auto fold_segment = [&](const T* from, int64_t segment) {
    Total total = Fold::start;
    const int64_t first = segment / pieces * rows_a_segment, begin = segment % pieces * piece;
    const int64_t last = min(first + rows_a_segment, rows);
    for (int64_t r = first; r < last; r++)
      total = Fold::join(total, strided_row<Fold>(from + locate(reduced, r).from + begin * row.from,
                                                  min(piece, row.size - begin), row.from));
    return total;
  };

  const int64_t units = outputs * (segments > 0 ? segments : 1), per_unit = piece * rows_a_segment + 8;
  const Chunks chunks = chunks_of(units, per_unit);
  if (segments <= 1) {
    // If there are many outputs with few elements each, this avoids a division for each output.
    const Axis inner = kept.n > 0 ? kept.items[kept.n - 1] : Axis{1, 0, 0};
    return for_chunks(context, chunks, [&](int64_t first, int64_t end) {
      for (int64_t unit = first; unit < end;) {
        Offsets at = locate(kept, unit);
        const int64_t n = min(end - unit, inner.size - unit % inner.size);
        for (int64_t k = 0; k < n; k++, at.from += inner.from, at.to += inner.to) {
          if (segments == 0) {  // x is empty, and may have no memory to point into
            Fold::finish(context, out, at.to, Fold::start, scale);
            continue;
          }
          const T* from = pointer<const T>(x) + at.from;
          const Total total = rows == 1 ? strided_row<Fold>(from, row.size, row.from) : fold_segment(from, 0);
          Fold::finish(context, out, at.to, total, scale);
        }
        unit += n;
      }
    });
  }
  Total* partial = static_cast<Total*>(scratch(context, static_cast<size_t>(units) * sizeof(Total)));
  for_items(context, chunks, [&](int64_t unit) {
    partial[unit] = fold_segment(pointer<const T>(x) + locate(kept, unit / segments).from, unit % segments);
  });
  for (int64_t k = 0; k < outputs; k++) {
    Total total = Fold::start;
    for (int64_t s = 0; s < segments; s++) total = Fold::join(total, partial[k * segments + s]);
    Fold::finish(context, out, locate(kept, k).to, total, scale);
  }
}

// Like fold_rows, for outputs whose rows are short and neighbours in memory, with many rows to each output: planes of
// an image, channel by channel. Some neighbours are folded together, so that memory is read in longer runs. A segment
// is several rows of each.
template <class Fold>
void fold_planes(Context& context, const View& out, const View& x, Axes kept, Axes reduced, double scale) {
  using T = typename Fold::T;
  using Total = typename Fold::Total;
  const Axis neighbours = kept.items[--kept.n];
  const int64_t row = reduced.items[--reduced.n].size, rows = product(reduced);
  const int64_t together = min(min(most_together, short_row / row), neighbours.size);
  const int64_t groups = ceil_div(neighbours.size, together);
  const int64_t rows_a_segment = min(rows, 1 + segment_elements / (row * together));
  const int64_t segments = ceil_div(rows, rows_a_segment), units = product(kept) * segments * groups;
  Total* partial = static_cast<Total*>(scratch(context, static_cast<size_t>(units * together) * sizeof(Total)));
  const int64_t per_unit = row * together * rows_a_segment;
  for_items(context, chunks_of(units, per_unit), [&](int64_t unit) {
    const int64_t first = unit % groups * together, n = min(together, neighbours.size - first);
    const int64_t segment = unit / groups % segments, top = segment * rows_a_segment;
    const T* from = pointer<const T>(x) + locate(kept, unit / groups / segments).from + first * row;
    Total totals[most_together];
    for (int64_t k = 0; k < n; k++) totals[k] = Fold::start;
    for (int64_t r = top; r < min(top + rows_a_segment, rows); r++) {
      const T* planes = from + locate(reduced, r).from;
      for (int64_t k = 0; k < n; k++) totals[k] = Fold::join(totals[k], Fold::row(planes + k * row, row));
    }
    for (int64_t k = 0; k < n; k++) partial[unit * together + k] = totals[k];
  });
  for (int64_t outer = 0; outer < product(kept); outer++)
    for (int64_t k = 0; k < neighbours.size; k++) {
      Total total = Fold::start;
      for (int64_t s = 0; s < segments; s++)
        total = Fold::join(total, partial[((outer * segments + s) * groups + k / together) * together + k % together]);
      Fold::finish(context, out, locate(kept, outer).to + k * neighbours.to, total, scale);
    }
}

// The innermost axis is kept and dense: tiles of it are folded over all rows. A segment is a number of rows.
template <class Fold>
void fold_columns(Context& context, const View& out, const View& x, Axes kept, Axes reduced, double scale) {
  using T = typename Fold::T;
  using Total = typename Fold::Total;
  const Axis columns = kept.items[--kept.n];
  Axis down = {1, 0, 0};
  if (reduced.n > 0) down = reduced.items[--reduced.n];
  const int64_t groups = product(reduced), width = min(columns.size, column_tile);
  const int64_t tiles = ceil_div(columns.size, column_tile);
  // A segment is a piece of `down`, in whole blocks of float_rows, or several groups of it.
  const int64_t most_rows = round_up(segment_elements / width, float_rows);
  const int64_t piece = min(down.size, most_rows), pieces = ceil_div(down.size, piece);
  const int64_t groups_a_segment = pieces == 1 ? min(groups, 1 + most_rows / piece) : 1;
  const int64_t segments = pieces * ceil_div(groups, groups_a_segment);
  const int64_t planes = product(kept), units = planes * tiles * segments;

  auto fold_segment = [&](int64_t plane, int64_t tile, int64_t segment, Total* totals) {
    const int64_t begin = tile * column_tile, n = min(column_tile, columns.size - begin);
    const int64_t first = segment / pieces * groups_a_segment, last = min(first + groups_a_segment, groups);
    const int64_t top = segment % pieces * piece;
    const T* from = pointer<const T>(x) + locate(kept, plane).from + begin;
    for (int64_t j = 0; j < n; j++) totals[j] = Fold::start;
    for (int64_t g = first; g < last; g++)
      Fold::columns(from + locate(reduced, g).from + top * down.from, down.from, min(piece, down.size - top), n,
                    totals);
  };
  auto finish = [&](int64_t plane, int64_t begin, int64_t n, const Total* totals) {
    const int64_t to = locate(kept, plane).to + begin * columns.to;
    for (int64_t j = 0; j < n; j++) Fold::finish(context, out, to + j * columns.to, totals[j], scale);
  };

  const int64_t per_unit = width * piece * groups_a_segment;
  Total* partial = nullptr;
  if (segments > 1)
    partial =
        static_cast<Total*>(scratch(context, static_cast<size_t>(planes * segments * columns.size) * sizeof(Total)));
  for_items(context, chunks_of(units, per_unit, segment_elements / 2), [&](int64_t unit) {
    // Segments vary slowest, so that concurrent threads share rows.
    const int64_t tile = unit % tiles, plane = unit / tiles % planes, segment = unit / tiles / planes;
    const int64_t begin = tile * column_tile;
    Total totals[column_tile];
    Total* to = partial ? partial + (plane * segments + segment) * columns.size + begin : totals;
    fold_segment(plane, tile, segment, to);
    if (!partial) finish(plane, begin, min(column_tile, columns.size - begin), totals);
  });
  if (!partial) return;
  parallel(context, planes * tiles, [&](int64_t unit) {
    const int64_t plane = unit / tiles, begin = unit % tiles * column_tile, n = min(column_tile, columns.size - begin);
    Total totals[column_tile];
    for (int64_t j = 0; j < n; j++) totals[j] = Fold::start;
    for (int64_t s = 0; s < segments; s++) {
      const Total* part = partial + (plane * segments + s) * columns.size + begin;
      for (int64_t j = 0; j < n; j++) totals[j] = Fold::join(totals[j], part[j]);
    }
    finish(plane, begin, n, totals);
  });
}

bool has_planes(const Axes& kept, const Axes& reduced) {
  if (kept.n == 0 || reduced.n < 2) return false;
  const Axis row = reduced.items[reduced.n - 1];
  return row.from == 1 && row.size <= short_row / 2 && kept.items[kept.n - 1].from == row.size;
}

template <class Fold>
void reduce_as(Context& context, const View& out, const View& x, double scale) {
  Axes kept, reduced;
  if (!split_axes(context, out, x, &kept, &reduced) || out.count == 0) return;
  const bool columns = kept.n > 0 && kept.items[kept.n - 1].from == 1 && x.count > 0;
  if (columns && kept.items[kept.n - 1].size > 1)
    fold_columns<Fold>(context, out, x, kept, reduced, scale);
  else if (has_planes(kept, reduced) && x.count > 0)
    fold_planes<Fold>(context, out, x, kept, reduced, scale);
  else
    fold_rows<Fold>(context, out, x, kept, reduced, scale);
}

template <class OfFloats, class OfInts>
void reduce(Context& context, const View& out, const View& x) {
  if (!expect(context, out.dtype == x.dtype, "reduction: the dtypes differ")) return;
  if (x.dtype == DType::float32) return reduce_as<OfFloats>(context, out, x, 1);
  if (expect(context, x.dtype == DType::int32, "reduction: expected float32 or int32"))
    reduce_as<OfInts>(context, out, x, 1);
}

bool is_real(DType dtype) { return dtype == DType::float32 || dtype == DType::bfloat16; }

}  // namespace

void sum(Context& context, const View& out, const View& x, double scale) {
  if (x.dtype == DType::int32 && out.dtype == DType::int32) return reduce_as<SumOfInts>(context, out, x, scale);
  if (!expect(context, is_real(x.dtype) && is_real(out.dtype), "sum: expected float32, bfloat16 or int32")) return;
  if (x.dtype == DType::float32)
    reduce_as<SumOfFloats>(context, out, x, scale);
  else
    reduce_as<SumOfHalves>(context, out, x, scale);
}
void amax(Context& context, const View& out, const View& x) {
  reduce<Extreme<float, true>, Extreme<int32_t, true>>(context, out, x);
}
void amin(Context& context, const View& out, const View& x) {
  reduce<Extreme<float, false>, Extreme<int32_t, false>>(context, out, x);
}

}  // namespace firesteel::FIRESTEEL_ISA
