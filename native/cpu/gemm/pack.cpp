// Packing copies an operand once into the order in which the micro-kernel reads it. The kernel's loads are then
// consecutive, aligned to its tile, free of page and cache-set conflicts, and free of edges (zero padded). bfloat16
// becomes float32 exactly. If the processor multiplies pairs of it, two steps of depth stay together in one place.
//
// Legend: a panel is W lines wide (rows of A, columns of B; W = MR or NR) and up to KC deep; element (line, d) is read
// at from[line * line_stride + d * depth_stride] and written to to[d * W + line]. Either stride may be 1: consecutive
// lines are copied, consecutive depth is transposed in registers. Packing reads 4 bytes and writes 4 bytes per element.
#include "pack.h"

#include <string.h>

#include "../simd/blocks.h"
#include "../simd/half.h"
#include "../simd/transpose.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

// Floats as wide as a register, in quads of four. Transposing moves elements within quads, and then quads.
constexpr int lanes = simd::lanes, quads = lanes / 4;
typedef simd::NativeFloat Wide;
typedef float Vec4 __attribute__((vector_size(16)));

// The first of a pair of adjacent bfloat16. A pair is moved like one float.
struct Pair {
  uint16_t first;
};

// The distance from one step of depth to the next, if depth is consecutive.
template <class T>
constexpr int64_t depth_step = 1;
template <>
constexpr int64_t depth_step<Pair> = 2;

inline Wide load(const float* from) { return simd::load(from).v; }
inline Wide load(const uint16_t* from) { return simd::load_bfloat16(from).v; }
inline Wide load(const Pair* from) {
  Wide value;
  memcpy(&value, from, sizeof value);
  return value;
}

inline float load1(const float* from) { return *from; }
inline float load1(const uint16_t* from) { return widen(*from); }
inline float load1(const Pair* from) {
  float value;
  memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
inline Vec4 load4(const T* from) {
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

template <class V>
inline void store(float* to, V value) {
  memcpy(to, &value, sizeof value);
}

// The lower half of a vector.
template <class V>
inline void store_low(float* to, V value) {
  memcpy(to, &value, sizeof value / 2);
}

// Quad q of the results is quad i of vector q.
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
inline void exchange_quads(Wide (&v)[quads]) {
  typedef double Pairs __attribute__((vector_size(4 * lanes)));
  const Pairs a = (Pairs)v[0], b = (Pairs)v[1], c = (Pairs)v[2], d = (Pairs)v[3];
  const Pairs ab_low = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11),
              ab_high = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15),
              cd_low = __builtin_shufflevector(c, d, 0, 1, 2, 3, 8, 9, 10, 11),
              cd_high = __builtin_shufflevector(c, d, 4, 5, 6, 7, 12, 13, 14, 15);
  v[0] = (Wide)__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5, 8, 9, 12, 13);
  v[1] = (Wide)__builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7, 10, 11, 14, 15);
  v[2] = (Wide)__builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5, 8, 9, 12, 13);
  v[3] = (Wide)__builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7, 10, 11, 14, 15);
}
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
inline void exchange_quads(Wide (&v)[quads]) {
  const Wide a = v[0], b = v[1];
  v[0] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
  v[1] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
}
#else
inline void exchange_quads(Wide (&)[quads]) {}
#endif

// Packs `lanes` steps of depth of `Lines` lines that are consecutive in depth; in `to` a step of depth is W lines.
// Lines is W, or the number of floats in a register.
template <int W, int Lines, class T>
FIRESTEEL_UNROLLED inline void transpose_lines(float* to, const T* from, int64_t line_stride) {
  static_assert(Lines % 4 == 0 && (Lines == W || Lines == lanes));
  // Quad q of turned[r * Lines / 4 + g]: four lines from 4 g on, at depth 4 q + r.
  Wide turned[Lines];
  repeat<Lines / 4>([&](auto g) FIRESTEEL_UNROLLED {
    const T* line = from + 4 * g.value * line_stride;
    simd::Vec v[4] = {
        {load(line)}, {load(line + line_stride)}, {load(line + 2 * line_stride)}, {load(line + 3 * line_stride)}};
    simd::transpose_quads(v);
    repeat<4>([&](auto r) FIRESTEEL_UNROLLED { turned[r.value * (Lines / 4) + g.value] = v[r.value].v; });
  });
  repeat<Lines / quads>([&](auto part) FIRESTEEL_UNROLLED {
    constexpr int start = part.value * lanes;  // in floats, from depth 4 q on
    Wide v[quads];
    repeat<quads>([&](auto i) FIRESTEEL_UNROLLED { v[i.value] = turned[part.value * quads + i.value]; });
    exchange_quads(v);
    repeat<quads>(
        [&](auto q) FIRESTEEL_UNROLLED { store(to + (4 * q.value + start / Lines) * W + start % Lines, v[q.value]); });
  });
}

// Packs four steps of depth of four lines.
template <int W, class T>
void transpose_four(float* to, const T* from, int64_t line_stride) {
  const Vec4 a = load4(from), b = load4(from + line_stride), c = load4(from + 2 * line_stride),
             d = load4(from + 3 * line_stride);
  const Vec4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Vec4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  store(to + W, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  store(to + 2 * W, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  store(to + 3 * W, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

// Packs four steps of depth of two lines.
template <int W, class T>
void transpose_two(float* to, const T* from, int64_t line_stride) {
  const Vec4 a = load4(from), b = load4(from + line_stride);
  const Vec4 low = __builtin_shufflevector(a, b, 0, 4, 1, 5), high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  store_low(to, low);
  store_low(to + W, __builtin_shufflevector(low, low, 2, 3, 2, 3));
  store_low(to + 2 * W, high);
  store_low(to + 3 * W, __builtin_shufflevector(high, high, 2, 3, 2, 3));
}

// Packs a whole panel whose lines are consecutive in depth, one cache line of some lines at a time. Each cache line is
// used up before the panel's other lines, which may lie a power of two apart, evict it.
template <int W, class T>
void transpose_panel(float* to, const T* from, int64_t line_stride, int64_t depth) {
  static_assert(W % 2 == 0);
  constexpr int64_t steps = pack_blocks::transposed_steps;
  constexpr int lines_at_once = W % lanes == 0 ? lanes : W;
  constexpr int64_t step = depth_step<T>;
  int64_t d = 0;
  if constexpr (W % 4 == 0)
    for (; d + steps <= depth; d += steps)
      for (int64_t line = 0; line < W; line += lines_at_once)
        for (int64_t part = d; part < d + steps; part += lanes)
          transpose_lines<W, lines_at_once>(to + part * W + line, from + part * step + line * line_stride, line_stride);
  for (int64_t next; (next = min(d + steps, depth / 4 * 4)) > d; d = next) {
    for (int64_t line = 0; line + 4 <= W; line += 4)
      for (int64_t part = d; part < next; part += 4)
        transpose_four<W>(to + part * W + line, from + part * step + line * line_stride, line_stride);
    if constexpr (W % 4 == 2)
      for (int64_t part = d; part < next; part += 4)
        transpose_two<W>(to + part * W + W - 2, from + part * step + (W - 2) * line_stride, line_stride);
  }
  for (; d < depth; d++)
    for (int64_t i = 0; i < W; i++) to[d * W + i] = load1(from + i * line_stride + d * step);
}

template <int W>
void copy_line(float* to, const float* from) {
  memcpy(to, from, W * sizeof(float));
}

template <int W>
void copy_line(float* to, const uint16_t* from) {
  int i = 0;
  for (; i + lanes <= W; i += lanes) store(to + i, load(from + i));
  for (; i + 4 <= W; i += 4) store(to + i, load4(from + i));
  for (; i < W; i++) to[i] = widen(from[i]);
}

// Packs `panels` whole panels, side by side, whose lines are consecutive. Reading goes along the lines, so that each
// row of the source is read once and in order, however far apart the rows are.
template <int W, class T>
void copy_panels(float* to, const T* from, int64_t depth_stride, int64_t panels, int64_t depth) {
  constexpr int64_t rows_ahead = 4, line_elements = 64 / sizeof(T);
  for (int64_t d = 0; d < depth; d++, from += depth_stride) {
    if (d + rows_ahead < depth)
      for (int64_t i = 0; i < panels * W; i += line_elements) __builtin_prefetch(from + rows_ahead * depth_stride + i);
    for (int64_t p = 0; p < panels; p++) copy_line<W>(to + (p * depth + d) * W, from + p * W);
  }
}

// Packs one panel of `width` <= W lines at any strides. The lines beyond are zeros.
template <int W, class T>
void gather_panel(float* to, const T* from, int64_t line_stride, int64_t depth_stride, int64_t width, int64_t depth) {
  for (int64_t d = 0; d < depth; d++, to += W, from += depth_stride) {
    for (int64_t i = 0; i < width; i++) to[i] = load1(from + i * line_stride);
    for (int64_t i = width; i < W; i++) to[i] = 0;
  }
}

template <int W, class T>
void pack_block(float* to, const T* from, int64_t line_stride, int64_t depth_stride, int64_t lines, int64_t depth) {
  constexpr int64_t panels_at_once = pack_blocks::copied_lines / W;
  int64_t line = 0;
  if (line_stride == 1)
    for (int64_t panels; (panels = min((lines - line) / W, panels_at_once)) > 0; line += panels * W)
      copy_panels<W>(to + line * depth, from + line, depth_stride, panels, depth);
  else if (depth_stride == 1)
    for (; line + W <= lines; line += W)
      transpose_panel<W>(to + line * depth, from + line * line_stride, line_stride, depth);
  for (; line < lines; line += W)
    gather_panel<W>(to + line * depth, from + line * line_stride, line_stride, depth_stride, min(lines - line, W),
                    depth);
}

// Puts two steps of depth of `count` lines side by side, element by element, with the first in the lower half.
inline void interleave(float* to, const uint16_t* first, const uint16_t* second, int64_t count) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const simd::VecI low = simd::widen_halves(first + i), high = simd::widen_halves(second + i);
    simd::store(to + i, simd::as_float(low | simd::shift_left(high, 16)));
  }
  for (; i < count; i++) {
    const uint32_t pair = first[i] | uint32_t(second[i]) << 16;
    memcpy(to + i, &pair, sizeof pair);
  }
}

// Packs pairs of bfloat16. A step of depth is two steps of the source, which are depth_stride apart. If `singles` is
// odd, the second element of the last pair is zero.
template <int W>
void pack_pairs(float* to, const uint16_t* from, int64_t line_stride, int64_t depth_stride, int64_t lines,
                int64_t depth, int64_t singles) {
  const uint16_t zeros[W] = {};
  const int64_t whole = min(depth, singles / 2);
  constexpr int64_t lines_at_once = pack_blocks::paired_lines / W * W;
  for (int64_t start = 0; start < lines; start += lines_at_once) {
    const int64_t end = min(start + lines_at_once, lines);
    for (int64_t line = start; depth_stride == 1 && line < end; line += W) {
      const Pair* first = reinterpret_cast<const Pair*>(from + line * line_stride);
      if (line + W <= end)
        transpose_panel<W>(to + line * depth, first, line_stride, whole);
      else
        gather_panel<W>(to + line * depth, first, line_stride, 2, end - line, whole);
    }
    for (int64_t d = depth_stride == 1 ? whole : 0; d < depth; d++)
      for (int64_t line = start; line < end; line += W) {
        const int64_t width = min(end - line, W);
        const uint16_t *first = from + line * line_stride + 2 * d * depth_stride, *second = first + depth_stride;
        float* at = to + line * depth + d * W;
        if (line_stride == 1 && width == W) {
          interleave(at, first, d < whole ? second : zeros, W);
          continue;
        }
        for (int64_t i = 0; i < width; i++)
          interleave(at + i, first + i * line_stride, d < whole ? second + i * line_stride : zeros, 1);
        for (int64_t i = width; i < W; i++) at[i] = 0;
      }
  }
}

// Decodes blocks on the stack, in pieces that stay in the first-level cache, and packs from there.
template <int W>
void pack_decoded(float* to, Matrix from, int64_t lines, int64_t depth) {
  alignas(64) float piece[pack_blocks::decoded_elements];
  const auto decode = [&from](int64_t element, int64_t count, float* at) {
    simd::decode_blocks(from.dtype, from.data, from.first + element, count, at);
  };
  if (from.row_stride == 1) {  // lines lie side by side in a block
    constexpr int64_t lines_at_once = pack_blocks::decoded_lines / W * W;
    constexpr int64_t steps = pack_blocks::decoded_elements / lines_at_once;
    float* const rows = piece;
    for (int64_t line = 0; line < lines; line += lines_at_once) {
      const int64_t width = min(lines_at_once, lines - line);
      for (int64_t d = 0; d < depth; d += steps) {
        const int64_t count = min(steps, depth - d);
        for (int64_t i = 0; i < count; i++)
          decode((d + i) * from.column_stride + line, width, rows + i * lines_at_once);
        for (int64_t panel = 0; panel < width; panel += W)
          gather_panel<W>(to + (line + panel) * depth + d * W, rows + panel, 1, lines_at_once, min(W, width - panel),
                          count);
      }
    }
    return;
  }
  constexpr int64_t steps = pack_blocks::decoded_elements / W;
  for (int64_t line = 0; line < lines; line += W) {
    const int64_t width = min(W, lines - line);
    for (int64_t d = 0; d < depth; d += steps) {
      const int64_t count = min(steps, depth - d);
      for (int64_t i = 0; i < width; i++) decode((line + i) * from.row_stride + d, count, piece + i * steps);
      float* at = to + line * depth + d * W;
      if (width == W)
        transpose_panel<W>(at, piece, steps, count);
      else
        gather_panel<W>(at, piece, steps, 1, width, count);
    }
  }
}

template <int W>
void pack_lines(float* to, Matrix from, int64_t lines, int64_t depth) {  // a line is a row of `from`
  if (simd::is_blocks(from.dtype))
    pack_decoded<W>(to, from, lines, depth);
  else if (from.pairs != Pairs::none)
    pack_pairs<W>(to, static_cast<const uint16_t*>(from.data), from.row_stride, from.column_stride / 2, lines, depth,
                  from.singles);
  else if (from.dtype == DType::bfloat16)
    pack_block<W>(to, static_cast<const uint16_t*>(from.data), from.row_stride, from.column_stride, lines, depth);
  else
    pack_block<W>(to, static_cast<const float*>(from.data), from.row_stride, from.column_stride, lines, depth);
}

}  // namespace

void pack_a_block(float* to, Matrix a, int64_t row, int64_t rows, int64_t k, int64_t depth, Panels panels) {
  const Matrix lines = part_of(a, row, k);
  panels.rows == wide_rows ? pack_lines<int(wide_rows)>(to, lines, rows, depth)
                           : pack_lines<int(tile_rows)>(to, lines, rows, depth);
}

void pack_b_block(float* to, Matrix b, int64_t k, int64_t depth, int64_t column, int64_t columns, Panels panels) {
  const Matrix lines = transposed(part_of(b, k, column));
  panels.columns == wide_columns ? pack_lines<int(wide_columns)>(to, lines, columns, depth)
                                 : pack_lines<int(tile_columns)>(to, lines, columns, depth);
}

int64_t packed_a_size(int64_t m, int64_t k) { return round_up(m, tile_rows) * k; }

int64_t packed_b_size(int64_t k, int64_t n) { return round_up(n, tile_columns) * k; }

void pack_a(float* to, Matrix a, int64_t m, int64_t k) {
  for (int64_t k0 = 0; k0 < k; k0 += block_depth)
    pack_a_block(to + k0 * round_up(m, tile_rows), a, 0, m, k0, min(block_depth, k - k0));
}

void pack_b(float* to, Matrix b, int64_t k, int64_t n) {
  for (int64_t k0 = 0; k0 < k; k0 += block_depth)
    pack_b_block(to + k0 * round_up(n, tile_columns), b, k0, min(block_depth, k - k0), 0, n);
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
