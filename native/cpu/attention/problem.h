// The common part of the forward and the backward pass of attention: the sizes of a call, masks and dropout by row, and
// workspaces.
//
// Legend: B batches, Hq query heads, Hk key heads (a group of Hq / Hk query heads shares one), Tq queries, Tk keys, D
// size of a query or key, Dv size of a value; i is a query, j a key.
#pragma once
#include <math.h>
#include <string.h>

#include "../simd/half.h"
#include "../simd/math.h"
#include "../simd/row.h"
#include "../simd/transpose.h"
#include "micro.h"

// This comes after vector.h, which includes the intrinsics in a way that avoids a false warning of g++ 12 for AVX-512.
#include "../random/philox.h"
#include "../rooms.h"

namespace firesteel::FIRESTEEL_ISA::attention {

using simd::lanes;

struct Problem {
  int64_t B, Hq, Hk, Tq, Tk, D, Dv;
  const View *q, *k, *v, *mask_bool, *mask_add;
  const int32_t* lengths;  // keys of each batch row, or null: all Tk
  float scale;
  // Query i sees keys j <= offset + i, and with a window only keys j > offset + i - window. `causal` is set if some
  // query does not see all later keys. `window` is 0 if no query has passed a key.
  int64_t offset, window;
  bool causal;
  // An element of [B, Hq, Tq, Tk] is dropped if its random word is below drop_below. The other elements are multiplied
  // by kept_scale.
  uint64_t drop_below;
  float kept_scale;
  Philox random;
};

static inline bool has_shape(const View& view, int64_t s0, int64_t s1, int64_t s2, int64_t s3) {
  return view.ndim == 4 && view.sizes[0] == s0 && view.sizes[1] == s1 && view.sizes[2] == s2 && view.sizes[3] == s3;
}

// Fills in the problem. If the arguments do not fit together, records an error and returns false.
static inline bool make_problem(Context& context, Problem& p, const View& out, const View& statistics, const View& q,
                                const View& k, const View& v, const View* mask_bool, const View* mask_add,
                                const View* lengths, double scale, int64_t offset, int64_t window, double dropout,
                                const Philox& random) {
  if (!expect(context, q.ndim == 4 && k.ndim == 4 && v.ndim == 4, "attention: q, k and v must have 4 dimensions"))
    return false;
  p = {};
  p.B = q.sizes[0], p.Hq = q.sizes[1], p.Hk = k.sizes[1], p.Tq = q.sizes[2], p.Tk = k.sizes[2];
  p.D = q.sizes[3], p.Dv = v.sizes[3];
  p.q = &q, p.k = &k, p.v = &v, p.mask_bool = mask_bool, p.mask_add = mask_add;
  p.scale = float(scale), p.random = random;
  const bool grouped = p.Hk > 0 ? p.Hq % p.Hk == 0 : p.Hq == 0;
  if (!expect(context, grouped, "attention: query heads must be a multiple of key heads") ||
      !expect(context, has_shape(k, p.B, p.Hk, p.Tk, p.D), "attention: k must be [B, Hk, Tk, D]") ||
      !expect(context, has_shape(v, p.B, p.Hk, p.Tk, p.Dv), "attention: v must be [B, Hk, Tk, Dv]") ||
      !expect(context, has_shape(out, p.B, p.Hq, p.Tq, p.Dv), "attention: out must be [B, Hq, Tq, Dv]") ||
      !expect(context, has_shape(statistics, p.B, p.Hq, 2, p.Tq), "attention: statistics must be [B, Hq, 2, Tq]") ||
      !expect(context, !mask_bool || has_shape(*mask_bool, p.B, p.Hq, p.Tq, p.Tk),
              "attention: maskBool must be [B, Hq, Tq, Tk]") ||
      !expect(context, !mask_add || has_shape(*mask_add, p.B, p.Hq, p.Tq, p.Tk),
              "attention: maskAdd must be [B, Hq, Tq, Tk]") ||
      !expect(context, !lengths || (lengths->ndim == 1 && lengths->sizes[0] == p.B),
              "attention: lengths must be [B]") ||
      !expect(context, offset >= 0 && window >= 0, "attention: offset and window must not be negative") ||
      !expect(context, dropout >= 0 && dropout <= 1, "attention: dropout must be in [0, 1]"))
    return false;
  p.lengths = lengths ? pointer<const int32_t>(*lengths) : nullptr;
  if (p.lengths)
    for (int64_t b = 0; b < p.B; b++)
      if (p.lengths[b] < 0 || p.lengths[b] > p.Tk) {
        record_error(context, ErrorCode::value,
                     "lengths holds %d at %lld, but a row has 0 to %lld real keys; give the number of them",
                     p.lengths[b], (long long)b, (long long)p.Tk);
        return false;
      }
  p.offset = offset;
  p.causal = offset < p.Tk - 1;
  p.window = offset + p.Tq > window ? window : 0;
  p.drop_below = uint64_t(dropout * 4294967296.0 + 0.5);
  p.kept_scale = dropout < 1 ? float(1 / (1 - dropout)) : 0;
  return true;
}

// The number of real keys of a batch row.
static inline int64_t keys_of(const Problem& p, int64_t batch) { return p.lengths ? p.lengths[batch] : p.Tk; }

// The rows (time) and columns (features) of one head.
static inline Matrix head_of(const View& view, int64_t batch, int64_t head) {
  const Matrix heads = {view.data, view.strides[0], view.strides[1], view.dtype};
  return {gemm::part_of(heads, batch, head).data, view.strides[2], view.strides[3], view.dtype};
}

static inline Matrix from_row(Matrix a, int64_t row) { return gemm::part_of(a, row, 0); }

// Rows of floats.
struct Floats {
  const float* data;
  int64_t stride;
};
static inline Floats from_row(Floats rows, int64_t row) { return {rows.data + row * rows.stride, rows.stride}; }
static inline const float* from_column(Floats rows, int64_t column) { return rows.data + column; }

// Whether products can read an operand's rows in place. The rows of a right operand must be whole vectors.
static inline bool lies_ready(const View& view, bool right) {
  return view.dtype == DType::float32 && view.strides[3] == 1 && !(right && view.sizes[3] % simd::lanes);
}

// Whether rows are finite. 0 times a number that is not is NaN, which remains in a sum.
static inline bool all_finite(Floats rows, int64_t count, int64_t columns) {
  if (rows.stride == columns) {
    columns *= count;
    count = min(count, 1);
  }
  Vec sums[2] = {simd::zero(), simd::zero()};
  for (int64_t r = 0; r < count; r++) {
    const float* row = rows.data + r * rows.stride;
    simd::for_row(columns, [&](int64_t c, int64_t n) {
      Vec& sum = sums[c / lanes % 2];
      sum = simd::fma(simd::load_some(row + c, n), simd::zero(), sum);
    });
  }
  return simd::reduce_add(sums[0] + sums[1]) == 0;
}

// The stride of copied rows.
static inline int64_t row_size(int64_t columns) { return round_up(columns, lanes); }

// Copies rows into the layout that products read.
static inline Floats copy_rows(float* to, Matrix from, int64_t rows, int64_t columns) {
  const int64_t stride = row_size(columns);
  const float* data = static_cast<const float*>(from.data);
  if (from.dtype == DType::float32 && from.row_stride == 1 && columns > 1 && rows > 0) {
    simd::transpose(to, stride, data, from.column_stride, columns, rows, 1);
    return {to, stride};
  }
  for (int64_t r = 0; r < rows; r++) {
    float* row = to + r * stride;
    const Matrix at = from_row(from, r);
    const float* floats = static_cast<const float*>(at.data);
    const uint16_t* halves = static_cast<const uint16_t*>(at.data);
    int64_t c = 0;
    if (from.column_stride == 1)
      for (; c + lanes <= columns; c += lanes)
        simd::store(row + c, from.dtype == DType::bfloat16 ? simd::load_bfloat16(halves + c) : simd::load(floats + c));
    for (; c < columns; c++)
      if (from.dtype == DType::bfloat16)
        simd::widen_bfloat16(1, row + c, halves + c * from.column_stride);
      else
        row[c] = floats[c * from.column_stride];
    for (; c < stride; c++) row[c] = 0;
  }
  return {to, stride};
}
// The rows in place if products can read them there, else a copy.
static inline Floats floats_of(bool ready, float* room, Matrix from, int64_t rows, int64_t columns) {
  return ready ? Floats{static_cast<const float*>(from.data), from.row_stride} : copy_rows(room, from, rows, columns);
}

// The same for an output, float32 or bfloat16.
struct Rows {
  void* data;
  int64_t row_stride, column_stride;
  bool half = false;
};
static inline Rows rows_of(const View& view, int64_t batch, int64_t head) {
  return {const_cast<void*>(head_of(view, batch, head).data), view.strides[2], view.strides[3],
          view.dtype == DType::bfloat16};
}
template <class T>
static inline void spread(T* to, int64_t step, const T* from, int64_t n) {
  if (step == 1)
    memcpy(to, from, size_t(n) * sizeof(T));
  else
    for (int64_t c = 0; c < n; c++) to[c * step] = from[c];
}
// Features [column, column + n) of a row, times factor.
static inline void write_row(Rows rows, int64_t row, int64_t column, const float* from, int64_t n, float factor) {
  const int64_t at = row * rows.row_stride + column * rows.column_stride;
  const Vec factors = simd::set(factor);
  if (!rows.half && rows.column_stride == 1) {
    float* to = static_cast<float*>(rows.data) + at;
    return simd::for_row(n, [&](int64_t c, int64_t count) {
      simd::store_some(to + c, simd::load_some(from + c, count) * factors, count);
    });
  }
  constexpr int64_t part = 128;
  float floats[part];
  uint16_t halves[part];
  for (int64_t c = 0; c < n; c += part) {
    const int64_t m = min(part, n - c), to = at + c * rows.column_stride;
    simd::for_row(m, [&](int64_t i, int64_t count) {
      simd::store_some(floats + i, simd::load_some(from + c + i, count) * factors, count);
    });
    if (!rows.half) {
      spread(static_cast<float*>(rows.data) + to, rows.column_stride, floats, m);
    } else {
      simd::narrow_bfloat16(m, halves, floats);
      spread(static_cast<uint16_t*>(rows.data) + to, rows.column_stride, halves, m);
    }
  }
}

static inline bool has_mask(const Problem& p) { return p.mask_bool || p.mask_add; }

// Whether all queries of a head have the same mask, as they have with padded sequences.
static inline bool mask_is_by_key(const Problem& p) {
  return has_mask(p) && (!p.mask_bool || p.mask_bool->strides[2] == 0) && (!p.mask_add || p.mask_add->strides[2] == 0);
}

// Combines a row of the additive mask (null for zeros) with one of the boolean mask (null for all true). The steps
// between elements are parameters, so that inlined calls with steps of 1 become vector code.
FIRESTEEL_INLINE void combine_masks(const float* added, int64_t added_step, const uint8_t* kept, int64_t kept_step,
                                    int64_t n, float* to) {
  if (added)
    for (int64_t c = 0; c < n; c++) to[c] = added[c * added_step];
  else
    memset(to, 0, size_t(n) * sizeof(float));
  if (kept)
    for (int64_t c = 0; c < n; c++) to[c] = kept[c * kept_step] ? to[c] : -INFINITY;
}

template <class T>
static inline const T* element_of(const View* view, int64_t batch, int64_t head, int64_t i, int64_t j) {
  if (!view) return nullptr;
  const int64_t* stride = view->strides;
  return pointer<const T>(*view) + batch * stride[0] + head * stride[1] + i * stride[2] + j * stride[3];
}

// Writes the masks' part of the scores of query i with keys [j, j + n): -infinity for a key that does not take part.
static inline void mask_row(const Problem& p, int64_t batch, int64_t head, int64_t i, int64_t j, int64_t n, float* to) {
  const float* added = element_of<float>(p.mask_add, batch, head, i, j);
  const uint8_t* kept = element_of<uint8_t>(p.mask_bool, batch, head, i, j);
  const int64_t added_step = added ? p.mask_add->strides[3] : 1, kept_step = kept ? p.mask_bool->strides[3] : 1;
  if (added_step == 1 && kept_step == 1)
    combine_masks(added, 1, kept, 1, n, to);
  else
    combine_masks(added, added_step, kept, kept_step, n, to);
}

// The factors of dropout, if any, for query i and keys [j, j + n): 0 or 1 / (1 - dropout). Words are made in whole
// groups, some of them unused, because single blocks would cost more.
constexpr int64_t most_keys = 256;
static inline void dropout_row(const Problem& p, int64_t batch, int64_t head, int64_t i, int64_t j, int64_t n,
                               float* to) {
  constexpr int64_t group = 4 * random::philox_group_blocks;
  uint32_t words[round_up(most_keys + 3, group)];
  const uint64_t element = uint64_t(((batch * p.Hq + head) * p.Tq + i) * p.Tk + j);
  const int64_t skipped = int64_t(element % 4);
  random::philox_words(words, round_up(skipped + n, group), p.random.seed, p.random.stream,
                       p.random.offset + element / 4);
  const uint32_t largest_dropped = uint32_t(p.drop_below - 1);  // drop_below is at least 1, and may be 2^32
  const float kept = p.kept_scale;
  for (int64_t c = 0; c < n; c++) to[c] = words[skipped + c] <= largest_dropped ? 0 : kept;
}

// Runs body(unit) for all units on all threads. A chunk has several units if a unit is little work, in multiply-adds.
template <class F>
static inline void parallel_units(Context& context, int64_t units, int64_t work, const F& body) {
  constexpr int64_t least_work = 1 << 18;  // some microseconds, as long as it takes to wake a thread
  const int64_t share = min(units, 1 + least_work / (work + 1));
  if (units > 0)
    parallel(context, (units + share - 1) / share, [&](int64_t chunk) {
      const int64_t end = min(units, (chunk + 1) * share);
      for (int64_t unit = chunk * share; unit < end; unit++) body(unit);
    });
}

}  // namespace firesteel::FIRESTEEL_ISA::attention
