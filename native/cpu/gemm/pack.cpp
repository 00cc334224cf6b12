// Packing: an operand is copied, once, into the order in which the micro-kernel reads it, so that the kernel's loads
// are consecutive, aligned to its tile, free of page and cache-set conflicts, and free of edges (zero padded). bfloat16
// becomes float32, exactly; where the processor multiplies pairs of it, two steps of depth stay together in one place.
//
// Legend: a panel is W lines wide (rows of A, columns of B; W = MR or NR) and up to KC deep; element (line, d) is read
// from from[line * line_stride + d * depth_stride] and written to to[d * W + line]. Either stride may be 1: consecutive
// lines are copied, consecutive depth is transposed four by four in registers. 4 bytes read and 4 written per element.
#include "pack.h"

#include <string.h>

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

typedef float Vec4 __attribute__((vector_size(16)));

inline Vec4 load4(const float* from) {
  Vec4 value;
  memcpy(&value, from, sizeof value);
  return value;
}

inline Vec4 load4(const uint16_t* from) {
  typedef uint16_t Half4 __attribute__((vector_size(8)));
  typedef uint32_t Int4 __attribute__((vector_size(16)));
  Half4 halves;
  memcpy(&halves, from, sizeof halves);
  return (Vec4)(__builtin_convertvector(halves, Int4) << 16);
}

inline void store4(float* to, Vec4 value) { memcpy(to, &value, sizeof value); }

// The lower or upper half of a vector.
inline void store_low(float* to, Vec4 value) { memcpy(to, &value, 8); }

// Four steps of depth of four lines, each consecutive in depth.
template <int W, class T>
void transpose_four(float* to, const T* from, int64_t line_stride) {
  const Vec4 a = load4(from), b = load4(from + line_stride), c = load4(from + 2 * line_stride),
             e = load4(from + 3 * line_stride);
  const Vec4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Vec4 ce_low = __builtin_shufflevector(c, e, 0, 4, 1, 5), ce_high = __builtin_shufflevector(c, e, 2, 6, 3, 7);
  store4(to, __builtin_shufflevector(ab_low, ce_low, 0, 1, 4, 5));
  store4(to + W, __builtin_shufflevector(ab_low, ce_low, 2, 3, 6, 7));
  store4(to + 2 * W, __builtin_shufflevector(ab_high, ce_high, 0, 1, 4, 5));
  store4(to + 3 * W, __builtin_shufflevector(ab_high, ce_high, 2, 3, 6, 7));
}

// Four steps of depth of two lines.
template <int W, class T>
void transpose_two(float* to, const T* from, int64_t line_stride) {
  const Vec4 a = load4(from), b = load4(from + line_stride);
  const Vec4 low = __builtin_shufflevector(a, b, 0, 4, 1, 5), high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  store_low(to, low);
  store_low(to + W, __builtin_shufflevector(low, low, 2, 3, 2, 3));
  store_low(to + 2 * W, high);
  store_low(to + 3 * W, __builtin_shufflevector(high, high, 2, 3, 2, 3));
}

// A whole panel whose lines are consecutive in depth: a cache line of four lines at a time, which is used up before the
// others of the panel, a power of two apart perhaps, take its place in the cache.
template <int W, class T>
void transpose_panel(float* to, const T* from, int64_t line_stride, int64_t depth) {
  static_assert(W % 2 == 0);
  constexpr int64_t steps = 16;
  const auto transpose = [&](int64_t count) FIRESTEEL_UNROLLED {
    repeat<W / 4>([&](auto g) FIRESTEEL_UNROLLED {
      for (int64_t d = 0; d < count; d += 4)
        transpose_four<W>(to + d * W + 4 * g.value, from + d + 4 * g.value * line_stride, line_stride);
    });
    if constexpr (W % 4 == 2)
      for (int64_t d = 0; d < count; d += 4)
        transpose_two<W>(to + d * W + W - 2, from + d + (W - 2) * line_stride, line_stride);
    from += count;
    to += count * W;
  };
  int64_t d = 0;
  for (; d + steps <= depth; d += steps) transpose(steps);
  transpose((depth - d) / 4 * 4);
  for (d += (depth - d) / 4 * 4; d < depth; d++, from++, to += W)
    for (int i = 0; i < W; i++) to[i] = widen(from[i * line_stride]);
}

template <int W>
void copy_line(float* to, const float* from) {
  memcpy(to, from, W * sizeof(float));
}

template <int W>
void copy_line(float* to, const uint16_t* from) {
  for (int i = 0; i + 4 <= W; i += 4) store4(to + i, load4(from + i));
  for (int i = W / 4 * 4; i < W; i++) to[i] = widen(from[i]);
}

// `panels` whole panels side by side whose lines are consecutive: read along the lines, so that each row of the source
// is read once, in order, however far apart the rows are.
template <int W, class T>
void copy_panels(float* to, const T* from, int64_t depth_stride, int64_t panels, int64_t depth) {
  constexpr int64_t rows_ahead = 4, line_elements = 64 / sizeof(T);
  for (int64_t d = 0; d < depth; d++, from += depth_stride) {
    if (d + rows_ahead < depth)
      for (int64_t i = 0; i < panels * W; i += line_elements) __builtin_prefetch(from + rows_ahead * depth_stride + i);
    for (int64_t p = 0; p < panels; p++) copy_line<W>(to + (p * depth + d) * W, from + p * W);
  }
}

// One panel of `width` <= W lines at any strides; the lines beyond are zeros.
template <int W, class T>
void gather_panel(float* to, const T* from, int64_t line_stride, int64_t depth_stride, int64_t width, int64_t depth) {
  for (int64_t d = 0; d < depth; d++, to += W, from += depth_stride) {
    for (int64_t i = 0; i < width; i++) to[i] = widen(from[i * line_stride]);
    for (int64_t i = width; i < W; i++) to[i] = 0;
  }
}

template <int W, class T>
void pack_block(float* to, const T* from, int64_t line_stride, int64_t depth_stride, int64_t lines, int64_t depth) {
  constexpr int64_t panels_at_once = 64 / W;  // a few cache lines of each row
  int64_t line = 0;
  if (line_stride == 1)
    for (int64_t panels; (panels = smaller((lines - line) / W, panels_at_once)) > 0; line += panels * W)
      copy_panels<W>(to + line * depth, from + line, depth_stride, panels, depth);
  else if (depth_stride == 1)
    for (; line + W <= lines; line += W)
      transpose_panel<W>(to + line * depth, from + line * line_stride, line_stride, depth);
  for (; line < lines; line += W)
    gather_panel<W>(to + line * depth, from + line * line_stride, line_stride, depth_stride, smaller(lines - line, W),
                    depth);
}

typedef uint16_t Half8 __attribute__((vector_size(16)));

// Two steps of depth of a row of lines, `count` of them, element by element side by side.
void interleave(float* to, const uint16_t* first, const uint16_t* second, int64_t count) {
  uint16_t* pairs = reinterpret_cast<uint16_t*>(to);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    Half8 a, b;
    memcpy(&a, first + i, sizeof a);
    memcpy(&b, second + i, sizeof b);
    const Half8 low = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    const Half8 high = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    memcpy(pairs + 2 * i, &low, sizeof low);
    memcpy(pairs + 2 * i + 8, &high, sizeof high);
  }
  for (; i < count; i++) {
    memcpy(pairs + 2 * i, first + i, sizeof *first);
    memcpy(pairs + 2 * i + 1, second + i, sizeof *second);
  }
}

// Pairs of bfloat16: a step of depth is two of the source, depth_stride apart in it.
template <int W>
void pack_pairs(float* to, const uint16_t* from, int64_t line_stride, int64_t depth_stride, int64_t lines,
                int64_t depth) {
  // A pair that lies together is moved like a float.
  if (depth_stride == 1 && line_stride % 2 == 0)
    return pack_block<W>(to, reinterpret_cast<const float*>(from), line_stride / 2, 1, lines, depth);
  // A few panels side by side: a few cache lines of each row.
  constexpr int64_t lines_at_once = 128 / W * W;
  for (int64_t start = 0; start < lines; start += lines_at_once)
    for (int64_t d = 0; d < depth; d++)
      for (int64_t line = start; line < smaller(start + lines_at_once, lines); line += W) {
        const int64_t width = smaller(lines - line, W);
        const uint16_t* first = from + line * line_stride + 2 * d * depth_stride;
        float* at = to + line * depth + d * W;
        if (line_stride == 1)
          interleave(at, first, first + depth_stride, width);
        else
          for (int64_t i = 0; i < width; i++, first += line_stride) interleave(at + i, first, first + depth_stride, 1);
        memset(at + width, 0, size_t(W - width) * sizeof(float));
      }
}

template <int W>
void pack_lines(float* to, Matrix from, int64_t lines, int64_t depth) {  // a line is a row of `from`
  if (from.pairs)
    pack_pairs<W>(to, static_cast<const uint16_t*>(from.data), from.row_stride, from.column_stride / 2, lines, depth);
  else if (from.dtype == DType::bfloat16)
    pack_block<W>(to, static_cast<const uint16_t*>(from.data), from.row_stride, from.column_stride, lines, depth);
  else
    pack_block<W>(to, static_cast<const float*>(from.data), from.row_stride, from.column_stride, lines, depth);
}

}  // namespace

void pack_a_block(float* to, Matrix a, int64_t row, int64_t rows, int64_t k, int64_t depth) {
  pack_lines<int(tile_rows)>(to, part_of(a, row, k), rows, depth);
}

void pack_b_block(float* to, Matrix b, int64_t k, int64_t depth, int64_t column, int64_t columns) {
  pack_lines<int(tile_columns)>(to, transposed(part_of(b, k, column)), columns, depth);
}

int64_t packed_a_size(int64_t m, int64_t k) { return round_up(m, tile_rows) * k; }

int64_t packed_b_size(int64_t k, int64_t n) { return round_up(n, tile_columns) * k; }

void pack_a(float* to, Matrix a, int64_t m, int64_t k) {
  for (int64_t k0 = 0; k0 < k; k0 += block_depth)
    pack_a_block(to + k0 * round_up(m, tile_rows), a, 0, m, k0, smaller(block_depth, k - k0));
}

void pack_b(float* to, Matrix b, int64_t k, int64_t n) {
  for (int64_t k0 = 0; k0 < k; k0 += block_depth)
    pack_b_block(to + k0 * round_up(n, tile_columns), b, k0, smaller(block_depth, k - k0), 0, n);
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
