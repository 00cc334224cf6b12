// Matrix multiplication at the edges of its blocks. Cases are made from the constants of native/cpu/gemm/blocks.h and
// native/cpu/matmul/blocks.h, the tiles of the micro-kernel and the width of a vector. Each gives shapes one below, at
// and one above it, and with a rest, with all layouts and dtypes in turn, so the cases follow when a constant changes.
// Under sanitizers every fourth case runs, without the largest.
//
// Elements are small integers, so that bfloat16 and sums in float32 are exact in any order. The oracle, in float64,
// therefore allows no error, and a single term that is missing or taken twice shows in a sum of any length.
#include "../cpu/gemm/blocks.h"
#include "../cpu/gemm/tile.h"
#include "../cpu/matmul/blocks.h"
#include "../cpu/simd/vector.h"
#include "arrays.h"

extern "C" __attribute__((weak)) void __asan_init();
extern "C" __attribute__((weak)) void __tsan_init();

namespace {

using namespace firesteel;
using namespace firesteel::test;
using namespace firesteel::FIRESTEEL_ISA::gemm;
namespace isa = firesteel::FIRESTEEL_ISA;
using isa::round_up;
using isa::simd::lanes;

const bool thin = __asan_init || __tsan_init;

// The same as `around` for work that is a multiple of the size. The largest is left out, because it costs too much.
std::vector<int64_t> close(int64_t size) { return {size - 1, size, size + 1, size + (size + 4) / 5}; }

// A matrix of integers in [-8, 8].
struct Numbered {
  int64_t rows, columns;
  std::vector<float> values;
  Numbered(int64_t r, int64_t c, uint32_t seed) : rows(r), columns(c), values(size_t(r * c)) {
    for (float& x : values) {
      seed = seed * 1664525u + 1013904223u;
      x = float(int32_t((seed >> 16) % 17) - 8);
    }
  }
  float at(int64_t i, int64_t j) const { return values[size_t(i * columns + j)]; }
};

uint16_t half_of(float x) { return encode_half(double(x), 7, 127); }

// The layout of an operand in memory.
struct Form {
  bool by_columns;  // whether columns are consecutive, else rows
  int64_t gap;      // between the lines
  int64_t step;     // between the elements of a line
  DType dtype;
};

struct Operand {
  std::vector<unsigned char> memory;
  Matrix matrix;
};

Operand lay_out(const Numbered& from, Form form) {
  const int64_t length = form.by_columns ? from.rows : from.columns, line = length * form.step + form.gap;
  const int64_t lines = form.by_columns ? from.columns : from.rows;
  const bool half = form.dtype == DType::bfloat16;
  Operand operand;
  // The memory ends with the last element, and gaps hold NaN.
  operand.memory.assign(size_t((lines - 1) * line + (length - 1) * form.step + 1) * (half ? 2 : 4), 0xff);
  operand.matrix = {operand.memory.data(), form.by_columns ? form.step : line, form.by_columns ? line : form.step,
                    form.dtype};
  for (int64_t i = 0; i < from.rows; i++)
    for (int64_t j = 0; j < from.columns; j++) {
      const size_t at = size_t(i * operand.matrix.row_stride + j * operand.matrix.column_stride);
      const float x = from.at(i, j);
      if (half) {
        const uint16_t h = half_of(x);
        memcpy(operand.memory.data() + 2 * at, &h, 2);
      } else {
        memcpy(operand.memory.data() + 4 * at, &x, 4);
      }
    }
  return operand;
}

// a b in float64.
std::vector<double> product_of(const Numbered& a, const Numbered& b) {
  const std::vector<double> left(a.values.begin(), a.values.end()), right(b.values.begin(), b.values.end());
  std::vector<double> c(size_t(a.rows * b.columns), 0);
  add_product(c.data(), left.data(), right.data(), a.rows, b.columns, a.columns);
  return c;
}

int64_t cases = 0;
constexpr float outside = 12345;

// The finish of a product: it accumulates, adds a bias, or rounds to bfloat16.
struct Finish {
  bool accumulate, bias, round;
};

// Runs multiply(m, n, k) into C, between guards, with all numbers of threads.
struct Multiplication {
  int64_t m, n, k;
  Numbered a, b, bias;
  std::vector<double> exact;

  Multiplication(int64_t m_, int64_t n_, int64_t k_)
      : m(m_), n(n_), k(k_), a(m_, k_, 1), b(k_, n_, 2), bias(1, n_, 3), exact(product_of(a, b)) {}

  std::string describe(const char* what, Form fa, Form fb, Finish f) const {
    char text[200];
    const auto kind = [](Form form) { return form.step > 1 ? "strided " : form.by_columns ? "columns " : "rows "; };
    snprintf(text, sizeof text, "%s %lld x %lld x %lld, %s%s by %s%s%s%s%s", what, (long long)m, (long long)n,
             (long long)k, kind(fa), name(fa.dtype), kind(fb), name(fb.dtype), f.accumulate ? ", accumulated" : "",
             f.bias ? ", bias" : "", f.round ? ", rounded" : "");
    return text;
  }

  double wanted(int64_t i, int64_t j, Finish f) const {
    const double sum =
        exact[size_t(i * n + j)] + (f.accumulate ? double((i + 3 * j) % 7) : 0) + (f.bias ? double(bias.at(0, j)) : 0);
    return f.round ? as_dtype(DType::bfloat16, sum) : sum;
  }

  // call(context, A, B, C, row stride of C, epilogue)
  template <class F>
  void check_call(const char* name, Form fa, Form fb, Finish f, int most_threads, const F& call,
                  int64_t gap = 2) const {
    const std::string what = describe(name, fa, fb, f);
    const Operand left = lay_out(a, fa), right = lay_out(b, fb);
    const int64_t ldc = f.round ? n : n + gap;
    std::vector<float> c, first;
    std::vector<uint16_t> halves, first_halves;
    const int fewest = least_threads < most_threads ? least_threads : most_threads;
    for (int threads = fewest; threads <= most_threads; threads++) {
      c.assign(size_t(f.round ? 0 : m * ldc), outside);
      halves.assign(size_t(f.round ? m * n + 8 : 0), 0x4321);
      for (int64_t i = 0; f.accumulate && i < m; i++)
        for (int64_t j = 0; j < n; j++) c[size_t(i * ldc + j)] = float((i + 3 * j) % 7);
      Context& context = context_of(threads);
      Epilogue epilogue{f.accumulate, f.bias ? bias.values.data() : nullptr};
      if (f.round) epilogue.rounded = halves.data();
      call(context, left.matrix, right.matrix, f.round ? nullptr : c.data(), ldc, epilogue);
      context.release_scratch();
      if (threads > fewest) {
        check(first == c && first_halves == halves, what + ": depends on threads");
        continue;
      }
      first = c;
      first_halves = halves;
      int64_t wrong = 0, beside = 0, at = -1;
      for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
          const double got = f.round ? decode_half(halves[size_t(i * n + j)], 7, 127) : double(c[size_t(i * ldc + j)]);
          if (got == wanted(i, j, f)) continue;
          if (wrong++ == 0) at = i * n + j;
        }
        for (int64_t j = n; !f.round && j < ldc; j++) beside += c[size_t(i * ldc + j)] != outside;
      }
      for (size_t i = size_t(m * n); i < halves.size(); i++) beside += halves[i] != 0x4321;
      check(wrong == 0, what + ": " + std::to_string(wrong) + " are wrong, the first at (" + std::to_string(at / n) +
                            ", " + std::to_string(at % n) + ")");
      check(beside == 0, what + ": wrote outside of C");
    }
  }

  void check_multiply(Form fa, Form fb, Finish f) const {
    check_call("multiply", fa, fb, f, 3,
               [&](Context& context, Matrix left, Matrix right, float* c, int64_t ldc, Epilogue epilogue) {
                 multiply(context, m, n, k, left, right, c, ldc, epilogue);
               });
    const Matrix left = lay_out(a, fa).matrix, right = lay_out(b, fb).matrix;
    const int64_t room = room_alone(m, n, k, left, right, f.round);
    if (room < 0) return;
    check_call(
        "multiply_alone", fa, fb, f, 1,
        [&](Context&, Matrix from, Matrix other, float* c, int64_t, Epilogue epilogue) {
          std::vector<float> memory(size_t(room) + 1, outside);
          multiply_alone(m, n, k, from, other, c, epilogue, memory.data());
          check(memory.back() == outside, "multiply_alone: wrote beyond its room");
        },
        0);
  }

  // Products that run on the calling thread.
  void check_here(Form fa, Form fb, Finish f) const {
    check_call("multiply_here", fa, fb, f, 1,
               [&](Context&, Matrix left, Matrix right, float* c, int64_t ldc, Epilogue epilogue) {
                 multiply_here(m, n, k, left, right, c, ldc, epilogue);
               });
    check_call("multiply_packed", fa, fb, f, 1,
               [&](Context&, Matrix left, Matrix right, float* c, int64_t ldc, Epilogue epilogue) {
                 std::vector<float> packed_a(size_t(packed_a_size(m, k))), packed_b(size_t(packed_b_size(k, n)));
                 pack_a(packed_a.data(), left, m, k);
                 pack_b(packed_b.data(), right, k, n);
                 multiply_packed(m, n, k, packed_a.data(), packed_b.data(), c, ldc, epilogue);
               });
    check_call("multiply_rows", fa, fb, f, 1,
               [&](Context&, Matrix left, Matrix right, float* c, int64_t ldc, Epilogue epilogue) {
                 std::vector<float> room(size_t(room_for_rows(m, k))), packed_b(size_t(packed_b_size(k, n)));
                 pack_b(packed_b.data(), right, k, n);
                 multiply_rows(m, n, k, left, packed_b.data(), c, ldc, epilogue, room.data());
               });
  }
};

bool skipped(int64_t m, int64_t n, int64_t k) {
  return m < 1 || n < 1 || k < 1 || (thin && (cases++ % 4 != 2 || m * n * k > 20000000));
}

constexpr DType float32 = DType::float32, bfloat16 = DType::bfloat16;
constexpr Finish finishes[] = {
    {false, true, false}, {true, false, false}, {false, true, true}, {true, true, false}, {false, false, true}};

// All layouts, dtypes and finishes in turn: rows of A and B, bfloat16 in both (which some processors multiply in
// pairs), columns, and any mixture. Large products take the first two and the last two in turn.
void product(int64_t m, int64_t n, int64_t k) {
  if (skipped(m, n, k)) return;
  static size_t round = 0;
  const Multiplication of(m, n, k);
  const auto finish = [] { return finishes[round++ % 5]; };
  const bool large = m * n + m * k + n * k > 100000, first = cases++ % 2 == 0;
  const bool a_turned = round & 1, b_turned = round & 2;
  if (!large || first) {
    of.check_multiply({false, 0, 1, float32}, {false, 0, 1, float32}, finish());
    of.check_multiply({a_turned, 1, 1, bfloat16}, {b_turned, 0, 1, bfloat16}, finish());
  }
  if (large && first) return;
  const DType da = round % 3 ? float32 : bfloat16, db = round % 3 == 1 ? bfloat16 : float32;
  of.check_multiply({true, 3, 1, float32}, {true, 1, 1, float32}, finish());
  of.check_multiply({!b_turned, 2, round % 4 ? 1 : 2, da}, {!a_turned, 1, round % 7 ? 1 : 2, db}, finish());
}

void here(int64_t m, int64_t n, int64_t k) {
  if (skipped(m, n, k)) return;
  static size_t round = 0;
  round++;
  const Multiplication of(m, n, k);
  const Finish f = {round % 2 == 1, round % 4 < 2, false};
  of.check_here({round % 3 == 0, 0, 1, round % 5 ? float32 : bfloat16},
                {round % 4 == 0, 1, 1, round % 7 ? float32 : bfloat16}, f);
}

// Every number of rows and columns of a tile of the micro-kernel and of the tile after it, packed and in place.
void test_tiles() {
  for (int64_t m = 1; m <= tile_rows + 1; m++)
    for (int64_t n = 1; n <= tile_columns + 1; n++)
      for (const int64_t k : {int64_t(1), int64_t(4), int64_t(17)}) here(m, n, k + (m + n) % 3);
  for (const int64_t m : around(tile_rows))
    for (const int64_t n : around(tile_columns))
      for (const int64_t k : {int64_t(5), int64_t(66), block_depth + 3}) product(m, n, k), here(m, n, k);
  for (const int64_t n : around(lanes)) product(tile_rows + 1, n, 19), here(tile_rows - 1, n, 19);
  for (const int64_t k : around(block_depth))
    for (const int64_t m : {int64_t(2), tile_rows + 1, few_rows + 1, 3 * few_rows + 1})
      product(m, tile_columns + 1, k), here(m, tile_columns + 3, k);
}

// Tiles of few rows, which read B in place and divide their rows evenly between panels. Panels are narrow and wide,
// whole and with a rest, and rows of B begin with a cache line or not, or share its sets.
void test_b_in_place() {
  using namespace tile_blocks;
  for (int64_t m = 1; m <= 3 * tile_rows; m++) {
    here(m, 2 * tile_columns + m % 3, 6 + m % 4);
    product(m, multiply_blocks::least_wide + m % 3, 30 + m % 4);
  }
  for (const int64_t most : {rows_in_place, rows_across_lines})
    for (const int64_t m : around(most))
      for (const int64_t n : {5 * tile_columns, multiply_blocks::least_wide + 1}) {
        product(m, n, steps_fetched + m % 5), here(m, n, steps_fetched + m % 5);
        product(m, n, block_depth + 1);
      }
  for (const int64_t m : around(rows_aliasing))
    for (const int64_t n : around(aliasing_stride)) product(m, n, steps_fetched + 1);
}

// The driver that takes a product, and the way each driver cuts it.
void test_drivers() {
  using namespace multiply_blocks;
  // Work from enough for one thread to enough for all.
  for (const int64_t m : {int64_t(3), 2 * tile_rows, 10 * tile_rows})
    for (const int64_t n : {int64_t(4), 3 * tile_columns, few_columns_of_rows + tile_columns})
      for (const int64_t k : close(chunk_work / (m * n))) product(m, n, k);
  // Rows and columns that are not packed.
  for (const int64_t m : around(few_rows)) {
    product(m, 2 * tile_width, 40), here(m, tile_columns + 1, 20);
    product(m, few_columns_of_rows + 1, block_depth + 1);
  }
  for (const int64_t n : around(tile_columns))
    for (const int64_t m : {aliasing_steps - 3, aliasing_steps}) product(m, n, 35);
  for (const int64_t k : close(near_in_place / (whole_height + 1))) product(whole_height + 1, 5, k);
  for (const int64_t n : around(few_columns)) product(4 * few_rows + 1, n, 200), product(whole_height + 1, n, 70);
  for (const int64_t n : close(few_columns_of_rows)) product(few_rows + 3, n, 90), product(2 * few_rows + 1, n, 33);
  // Widths of tiles: the full width, the width of a rounded tile, halves if tiles are few, and a panel each if they are
  // fewer still.
  for (const int64_t n : around(tile_width)) product(few_rows + 1, n, 60), product(5, n, 120);
  for (const int64_t n : around(narrow_width)) product(in_place_height + 5, n, 50), product(few_rows, n, block_depth);
  for (const int64_t height : {2 * tile_rows, in_place_height})
    for (const int64_t n : close(FIRESTEEL_ISA::max(tile_to_round / height, narrow_width))) product(height, n, 60);
  for (const int64_t tiles : {enough_tiles, enough_chunks})
    for (const int64_t n : {(tiles - 1) * tile_columns, tiles * tile_columns - 1, tiles * tile_columns + 1,
                            (tiles / 2 + 1) * narrow_width + 3, tiles * narrow_width + 5})
      product(2 * tile_rows - 1, n, 150), product(in_place_height + 1, n, 21);
  for (const int64_t times : {2, 4})
    for (const int64_t k : close(times * chunk_work / (few_rows * tile_width))) product(few_rows, 2 * tile_width, k);
  // Heights of tiles: with A in place, with A packed, and with B packed too.
  for (const int64_t most : {tile_height, in_place_height, whole_height})
    for (const int64_t m : around(most)) {
      product(m, few_columns - 1, 30);
      product(m, few_columns_of_rows + 1, 9);
      here(m, tile_columns + 1, 9);
    }
  for (const int64_t m : close(whole_height)) product(m, few_columns_of_rows + 5, block_depth + 1);
  // Chunks of packing.
  for (const int64_t m : around(pack_panels * wide_rows)) product(m, few_columns_of_rows + 3, 25);
  for (const int64_t n : around(pack_panels * wide_columns)) product(whole_height + 1, n, 17);
  // A rounded sum may be made in float32 first. Its chunks are as many panels as packing takes, by block_depth.
  for (const int64_t n : close(pack_panels * tile_columns * block_depth / tile_rows)) product(tile_rows, n, 2);
}

// Panels of large products: the number of columns at which they become wide, every width of the last panel, every
// number of rows, and depths around the distance of prefetching. A is in place or packed. B is packed by all threads or
// where it is used.
void test_wide_panels() {
  using namespace multiply_blocks;
  for (const int64_t n : close(least_wide))
    for (const int64_t m : {int64_t(2), wide_rows - 1, wide_rows, few_rows + wide_rows + 1}) product(m, n, 70);
  for (int64_t n = least_wide; n <= least_wide + wide_columns + 1; n++) product(2 * wide_rows + n % wide_rows, n, 75);
  for (int64_t m = 1; m <= 2 * wide_rows + 1; m++)
    product(few_rows + m, round_up(few_columns_of_rows + 1, wide_columns) + m % 2, 60);
  // Depths at which rows of C are prefetched, and depths between them. Three is prime to the steps from one to the
  // next.
  for (int64_t depth = 1; depth <= block_depth + 3; depth += 3) product(few_rows + 1, few_columns_of_rows + 1, depth);
  for (const int64_t depth : around(block_depth))
    for (const int64_t m : {few_rows + 2, whole_height + wide_rows + 1})
      product(m, round_up(few_columns_of_rows + 1, wide_columns), depth);
}

// K in parts: the depth at which they begin, their number, the number of tiles, and the rows of the sums.
void test_parts() {
  using namespace multiply_blocks;
  for (const int64_t k : close(parts_depth)) product(few_rows, few_columns, k), product(7, 9, 4 * k);
  for (int64_t parts = even_parts; parts <= enough_tiles; parts += even_parts)
    for (const int64_t k : {parts * part_depth - 1, parts * part_depth, parts * part_depth + 1,
                            parts * part_depth + part_step + 1, parts * (part_depth + 1) + part_step - 1})
      product(10, 7, k);
  for (const int64_t tiles : {enough_tiles - 1, enough_tiles, enough_tiles + 1})
    product(few_rows * tiles, few_columns - 1, parts_depth + 3), product(few_rows, few_columns * tiles, parts_depth);
  for (const int64_t m : close(chunk_work / 16 / (enough_tiles * 3))) product(m, 3, 4 * parts_depth + 5);
}

// The amounts packed at a time: less depth first, then fewer rows or columns.
void test_packed_limit() {
  using namespace multiply_blocks;
  const int64_t n = few_columns_of_rows + 1;  // A is packed
  for (const int64_t blocks : {1, 2}) {
    const int64_t m = packed_limit / (blocks * block_depth);
    for (const int64_t rows : {m - 1, m + 1}) product(rows, few_columns + 1, blocks * block_depth + 1);
    product(m, few_columns + 1, blocks * block_depth);
  }
  const int64_t most_rows = round_up(packed_limit / block_depth, tile_height);
  for (const int64_t m : {most_rows - 1, most_rows, most_rows + 1}) product(m, few_columns + 3, block_depth + 2);
  const int64_t most_columns = round_up(packed_limit / block_depth, tile_width);
  for (const int64_t columns : {most_columns - 1, most_columns, most_columns + 1})
    product(whole_height + 1, columns, block_depth / 4);
  product(whole_height + 1, most_columns + 1, block_depth + 1);
  for (const int64_t k : close(packed_limit / n / block_depth * block_depth)) product(few_rows + 1, n, k);
}

// A vector and a matrix, whose rows or columns are consecutive.
void test_vectors() {
  using namespace vector_blocks;
  const auto vector = [](int64_t n, int64_t k) { product(1, n, k), product(n, 1, k); };
  for (int64_t n = 1; n <= 2 * columns_at_once + 1; n++) vector(n, 3 * lanes + n);
  for (int64_t k = 1; k <= 2 * rows_at_once + 1; k++) vector(2 * lanes + k, k);
  for (const int64_t width : {int64_t(lanes), int64_t(2 * lanes)})
    for (const int64_t size : around(width)) vector(size, 21), vector(21, size), vector(9, 2 * width + size);
  for (const int64_t n : around(widest_rows))
    for (const int64_t k : {int64_t(7), 2 * rows_at_once + 1, chunk_elements / widest_rows}) vector(n, k);
  for (const int64_t k : around(deepest_columns))
    for (const int64_t n : {int64_t(3), column_chunks + 1}) vector(n, k);
  for (const int64_t n : {int64_t(100), widest_rows})
    for (const int64_t k : around(round_up(chunk_elements / n, rows_at_once))) vector(n, k);
  // Chunks of columns of the least size, and those that threads share evenly, up to the most.
  for (const int64_t k : {int64_t(500), deepest_columns})
    for (const int64_t threads : {1, 2, 3}) {
      const int64_t chunks = column_chunks * threads;
      for (const int64_t n : around(round_up(least_column_elements / k, columns_at_once) * chunks)) vector(n, k);
    }
  for (const int64_t n : close(most_column_elements / deepest_columns * column_chunks)) vector(n, deepest_columns);
  // Numbers of columns of the last sum.
  for (const int64_t n : close(chunk_elements / 16)) vector(n, 16 * (chunk_elements / widest_rows));
  for (const int64_t n : close(chunk_elements)) vector(n, 3);
}

// Packed operands, element by element, with zeros where a panel has no line. This includes pairs, which every
// instruction set can pack.
void check_panels(Panels panels, bool of_a, int64_t lines, int64_t depth, int form) {
  if (thin && cases++ % 4 != 2) return;
  const int64_t width = of_a ? panels.rows : panels.columns;
  const bool pairs = form >= 8, half = pairs || form & 1, turned = form & 2;
  const int64_t singles = pairs ? 2 * depth - (form & 1) : depth;
  const Numbered numbers(lines, singles, 5);
  const Form lying = {turned, form & 1, !pairs && form & 4 ? 2 : 1, half ? bfloat16 : float32};
  Operand operand = lay_out(numbers, lying);
  Matrix lines_of = operand.matrix;  // a line is one of its rows
  if (pairs) {
    lines_of.column_stride *= 2;
    lines_of.pairs = Pairs::of_columns;
    lines_of.singles = singles;
  }
  std::vector<float> packed(size_t(round_up(lines, width) * depth), NAN);
  if (panels.columns == tile_columns) {
    of_a ? pack_a(packed.data(), lines_of, lines, depth) : pack_b(packed.data(), transposed(lines_of), depth, lines);
  } else {  // as multiply does
    for (int64_t k0 = 0; k0 < depth; k0 += block_depth) {
      float* const to = packed.data() + k0 * round_up(lines, width);
      const int64_t deep = FIRESTEEL_ISA::min(block_depth, depth - k0);
      of_a ? pack_a_block(to, lines_of, 0, lines, k0, deep, panels)
           : pack_b_block(to, transposed(lines_of), k0, deep, 0, lines, panels);
    }
  }
  const auto single = [&](int64_t line, int64_t d) { return line < lines && d < singles ? numbers.at(line, d) : 0.0f; };
  int64_t wrong = 0;
  for (int64_t line = 0; line < round_up(lines, width); line++)
    for (int64_t d = 0; d < depth; d++) {
      const int64_t block = d / block_depth * block_depth, deep = FIRESTEEL_ISA::min(block_depth, depth - block);
      const size_t at =
          size_t(block * round_up(lines, width) + line / width * width * deep + (d - block) * width + line % width);
      uint32_t got, want;
      memcpy(&got, &packed[at], sizeof got);
      const float x = single(line, d);
      memcpy(&want, &x, sizeof want);
      if (pairs) want = half_of(single(line, 2 * d)) | uint32_t(half_of(single(line, 2 * d + 1))) << 16;
      wrong += got != want && !(got << 1 == 0 && want << 1 == 0);
    }
  char what[120];
  snprintf(what, sizeof what, "packing %lld lines of %c, %lld deep, form %d: %lld are wrong", (long long)lines,
           of_a ? 'A' : 'B', (long long)depth, form, (long long)wrong);
  check(wrong == 0, what);
}

void test_packing(Panels panels) {
  using namespace pack_blocks;
  for (const bool of_a : {true, false}) {
    const int64_t width = of_a ? panels.rows : panels.columns;
    const auto all_forms = [&](int64_t lines, int64_t depth) {
      for (int form = 0; form < 12; form++)
        if (lines > 0 && depth > 0) check_panels(panels, of_a, lines, depth, form);
    };
    for (const int64_t depth : around(transposed_steps))
      for (const int64_t lines : {width - 1, width, width + 1, 2 * width + 3}) all_forms(lines, depth);
    for (int64_t depth = 1; depth <= 2 * transposed_steps + 1; depth++) all_forms(2 * width, depth);
    for (const int64_t side : {copied_lines / width * width, paired_lines / width * width})
      for (const int64_t lines : around(side))
        for (const int64_t depth : {int64_t(3), transposed_steps + 5}) all_forms(lines, depth);
    for (const int64_t depth : around(block_depth)) all_forms(width + 1, depth);
    for (const int64_t lines : around(lanes)) all_forms(lines, lanes + 1);
  }
}

// A batch of products, distributed whole, several to a chunk, or one after another to all threads.
void batch(int64_t matrices, int64_t m, int64_t n, int64_t k) {
  if (skipped(matrices * m, n, k)) return;
  static int round = 0;
  round++;
  const DType out_dtype = round % 3 ? float32 : bfloat16, dtype = round % 2 ? float32 : bfloat16;
  const bool with_bias = round % 4 < 2;
  const std::string what = "matmul of " + text({matrices, m, k}) + " and " + text({matrices, k, n});
  Array a({matrices, m, k}, dtype), b({matrices, k, n}, dtype), bias({n}, float32), out({matrices, m, n}, out_dtype);
  const Numbered left(matrices * m, k, 7), right(matrices * k, n, 8), shift(1, n, 9);
  for (int64_t i = 0; i < a.size(); i++) a.set(i, double(left.values[size_t(i)]));
  for (int64_t i = 0; i < b.size(); i++) b.set(i, double(right.values[size_t(i)]));
  for (int64_t i = 0; i < n; i++) bias.set(i, double(shift.at(0, i)));
  run(what, out, [&](Context& c) { isa::matmul(c, out.view, a.view, b.view, with_bias ? &bias.view : nullptr); });
  std::vector<double> exact;
  for (int64_t i = 0; i < matrices; i++) {
    Numbered one(m, k, 0), other(k, n, 0);
    one.values.assign(left.values.begin() + i * m * k, left.values.begin() + (i + 1) * m * k);
    other.values.assign(right.values.begin() + i * k * n, right.values.begin() + (i + 1) * k * n);
    const std::vector<double> sums = product_of(one, other);
    exact.insert(exact.end(), sums.begin(), sums.end());
  }
  check_equal(what, out, [&](int64_t i) {
    return as_dtype(out_dtype, exact[size_t(i)] + (with_bias ? double(shift.at(0, i % n)) : 0));
  });
  if (with_bias) return;
  Array total({matrices, m, n}, float32);
  for (int64_t i = 0; i < total.size(); i++) total.set(i, double(i % 11));
  run(what + ", accumulated", total, [&](Context& c) { isa::matmul_accumulate(c, total.view, a.view, b.view); });
  check_equal(what + ", accumulated", total, [&](int64_t i) { return exact[size_t(i)] + double(i % 11); });
}

// A product by one thread alone has the bits of a product by all, at each way in which it may be cut.
void test_alone() {
  using namespace multiply_blocks;
  for (const DType dtype : {float32, bfloat16})
    for (const int64_t m : {whole_height + tile_rows + 1, 6 * few_rows + 3})
      for (const int64_t n : {few_columns - 1, least_wide + 5, few_columns_of_rows + 3})
        for (const int64_t k : {block_depth - 1, 2 * block_depth + 9}) {
          if (thin && m * n * k > 20000000) continue;
          Numbered a(m, k, 11), b(k, n, 12), bias(1, n, 13);
          for (float& x : a.values) x = 1 / (x + 9.5f);
          for (float& x : b.values) x = 1 / (x - 9.5f);
          for (const bool by_columns : {false, true}) {
            const Operand left = lay_out(a, {by_columns, 0, 1, dtype}), right = lay_out(b, {false, 0, 1, dtype});
            const int64_t room = room_alone(m, n, k, left.matrix, right.matrix, false);
            check(room >= 0, "multiply_alone refuses " + std::to_string(m) + " x " + std::to_string(n));
            if (room < 0) continue;
            std::vector<float> memory(size_t(room) + 1), alone(size_t(m * n)), all(size_t(m * n));
            multiply_alone(m, n, k, left.matrix, right.matrix, alone.data(), {false, bias.values.data()},
                           memory.data());
            Context& context = context_of(2);
            multiply(context, m, n, k, left.matrix, right.matrix, all.data(), n, {false, bias.values.data()});
            context.release_scratch();
            check(alone == all, "multiply_alone: other bits than multiply");
          }
        }
}

void test_batches() {
  using namespace isa::matmul_blocks;
  for (const int64_t k : close(largest_alone / (512 * 512)))
    if (!thin) batch(3, 512, 512, k);
  for (const int64_t side : {64, 130})
    for (const int64_t k : close(large_product / (side * side))) batch(3, side, side, k), batch(2, side, side, k);
  for (const int64_t k : around(chunk_work / 1024)) batch(5, 32, 32, k);
  for (const int64_t size : {3, 8, 20}) {
    const int64_t per_chunk = chunk_work / (size * size * size);
    for (const int64_t matrices : close(per_chunk)) batch(matrices, size, size, size);
    batch(2 * per_chunk + 1, size, size, size);
  }
}

}  // namespace

int main() {
  test_tiles();
  test_b_in_place();
  test_drivers();
  test_wide_panels();
  test_parts();
  test_packed_limit();
  test_vectors();
  test_packing(narrow);
  if (wide_columns != tile_columns) test_packing(wide);
  test_alone();
  test_batches();
  return finish("gemm_blocks");
}
