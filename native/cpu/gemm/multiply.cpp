// The drivers over the micro-kernel, chosen by shape alone:
//
//   multiply_vector      M or N is 1: each element of the matrix is used once, memory is the limit (vector.cpp)
//   multiply_decoded     few rows and a B whose columns are blocks: the same, decoded in registers (decoded.cpp)
//   multiply_here        little work: on the calling thread, which packs only B, panel by panel, on the stack
//   multiply_in_parts    a small C and a large K: cut in depth
//   multiply_tiles       few rows or not many columns: A is read in place, threads take tiles of C
//   multiply_packing     everything else: all threads pack A and B, then take tiles of C
//
// Each element of A and B is packed once, except that A is packed again for each part of N if both exceed packed_limit
// at a single block of depth. If B is not packed beforehand, few rows read it in place. Otherwise the thread that uses
// it packs it a panel at a time, on its stack. While a panel of B is multiplied, the next one, or its source, is
// prefetched.
#include "../rooms.h"
#include "../simd/half.h"
#include "tile.h"
#include "vector.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

using namespace multiply_blocks;

// Fills C if K is 0, so that there is nothing to sum.
void write_empty_sum(int64_t m, int64_t n, float* c, int64_t ldc, Epilogue epilogue) {
  for (int64_t i = 0; i < m; i++, c += ldc)
    for (int64_t j = 0; j < n; j++) c[j] = (epilogue.accumulate ? c[j] : 0) + (epilogue.bias ? epilogue.bias[j] : 0);
}

// The size of the tiles into which a dimension of `size` is cut: at most `limit`, about equal, in whole panels.
int64_t even_tiles(int64_t size, int64_t limit, int64_t panel) {
  return round_up(ceil_div(size, ceil_div(size, limit)), panel);
}

// Packs A [m, k] and, unless packed_b is null, B [k, n]. A chunk is a part of one of them and of one block of depth.
void pack_on_all_threads(Context& context, const Product& p, float* packed_a, float* packed_b) {
  const int64_t height = pack_panels * p.panels.rows, width = pack_panels * p.panels.columns;
  const int64_t a_parts = ceil_div(p.m, height), b_parts = packed_b ? ceil_div(p.n, width) : 0;
  const int64_t parts = a_parts + b_parts, m_padded = round_up(p.m, p.panels.rows),
                n_padded = round_up(p.n, p.panels.columns);
  parallel(context, parts * ceil_div(p.k, block_depth), [&](int64_t chunk) {
    const int64_t k0 = chunk / parts * block_depth, depth = min(block_depth, p.k - k0), part = chunk % parts;
    if (part < a_parts) {
      const int64_t i = part * height;
      pack_a_block(packed_a + k0 * m_padded + i * depth, p.a, i, min(height, p.m - i), k0, depth, p.panels);
    } else {
      const int64_t j = (part - a_parts) * width;
      pack_b_block(packed_b + k0 * n_padded + j * depth, p.b, k0, depth, j, min(width, p.n - j), p.panels);
    }
  });
}

void multiply_tiles(Context& context, const Product& p) {
  const int64_t most_rows = p.packed_b ? tile_height : p.packed_a ? whole_height : in_place_height;
  const int64_t height = even_tiles(p.m, most_rows, p.panels.rows);
  // A tile that is rounded once it is done should still be in the second-level cache by then.
  const int64_t most_columns = p.epilogue.rounded ? max(tile_to_round / height, narrow_width) : tile_width;
  int64_t width = even_tiles(p.n, min(most_columns, tile_width), p.panels.columns);
  const int64_t tiles_down = ceil_div(p.m, height);
  while (width > narrow_width && tiles_down * ceil_div(p.n, width) < enough_chunks &&
         height * width * p.k > 2 * chunk_work)
    width = round_up(width / 2, p.panels.columns);
  // Too few tiles would make threads wait for one another. Tiles of one panel divide more evenly.
  if (tiles_down * ceil_div(p.n, width) < enough_tiles && height * width * p.k > 4 * chunk_work)
    width = p.panels.columns;
  const int64_t tiles = tiles_down * ceil_div(p.n, width);
  const bool rounds = p.epilogue.rounded;
  const Rooms rooms = rounds ? make_rooms(context, height * width, tiles) : Rooms{};
  parallel(context, tiles, [&](int64_t chunk) {
    const int64_t i = chunk % tiles_down * height, rows = min(height, p.m - i);
    const int64_t j = chunk / tiles_down * width, columns = min(width, p.n - j);
    if (!rounds) return multiply_tile(p, i, rows, j, columns, p.c + i * p.ldc + j, p.ldc);
    int64_t number;
    float* room = enter_room(rooms, number);
    multiply_tile(p, i, rows, j, columns, room, columns);
    for (int64_t row = 0; row < rows; row++)
      simd::narrow_bfloat16(columns, p.epilogue.rounded + (i + row) * p.ldc + j, room + row * columns);
    leave_room(rooms, number);
  });
}

// Multiplies into a small C with a large K, which has too few tiles. K is cut into parts; one thread multiplies each
// part into its own C, and these are added in order.
int64_t depth_of_parts(int64_t m, int64_t n, int64_t k) {
  const int64_t tiles = ceil_div(m, few_rows) * ceil_div(n, few_columns);
  if (tiles >= enough_tiles || k < parts_depth) return k;
  const int64_t parts = min(round_up(ceil_div(k, part_depth), even_parts), enough_tiles);
  return round_up(ceil_div(k, parts), part_step);
}

void multiply_in_parts(Context& context, const Product& p, int64_t depth) {
  const int64_t parts = ceil_div(p.k, depth), size = p.m * p.n;
  float* partial = static_cast<float*>(scratch(context, size_t(parts * size) * sizeof(float)));
  parallel(context, parts, [&](int64_t part) {
    const int64_t d = part * depth;
    multiply_here(p.m, p.n, min(depth, p.k - d), part_of(p.a, 0, d), part_of(p.b, d, 0), partial + part * size, p.n,
                  {false, nullptr});
  });
  const int64_t rows = ceil_div(chunk_work / 16, parts * p.n);
  parallel(context, ceil_div(p.m, rows), [&](int64_t chunk) {
    for (int64_t i = chunk * rows; i < min(p.m, (chunk + 1) * rows); i++) {
      float *sums = partial + i * p.n, *c = p.c + i * p.ldc;
      for (int64_t part = 1; part < parts; part++)
        for (int64_t j = 0; j < p.n; j++) sums[j] += sums[part * size + j];
      for (int64_t j = 0; j < p.n; j++) {
        const float sum = p.epilogue.accumulate ? sums[j] + c[j] : sums[j];
        c[j] = p.epilogue.bias ? sum + p.epilogue.bias[j] : sum;
      }
    }
  });
}

// Whether B is packed where it is used, and so takes no room.
bool packs_on_stack(const Product& p) { return p.m <= whole_height; }

// The amounts that are packed at a time for all threads, within packed_limit. Less depth comes first, because it costs
// nothing; fewer rows and columns come only then.
int64_t packed_depth(const Product& p) {
  const int64_t lines = packs_on_stack(p) ? p.m : max(p.m, p.n);
  return min(p.k, max(packed_limit / lines / block_depth, 1) * block_depth);
}

void multiply_packing(Context& context, const Product& p) {
  const bool on_stack = packs_on_stack(p);
  const int64_t depth = packed_depth(p);
  const int64_t rows = min(p.m, round_up(packed_limit / depth, tile_height));
  const int64_t columns = on_stack ? p.n : min(p.n, round_up(packed_limit / depth, tile_width));
  float* packed_a =
      static_cast<float*>(scratch(context, size_t(round_up(rows, p.panels.rows) * depth) * sizeof(float)));
  const size_t b_bytes = size_t(round_up(columns, p.panels.columns) * depth) * sizeof(float);
  float* packed_b = on_stack ? nullptr : static_cast<float*>(scratch(context, b_bytes));
  for (int64_t j = 0; j < p.n; j += columns)
    for (int64_t k0 = 0; k0 < p.k; k0 += depth)
      for (int64_t i = 0; i < p.m; i += rows) {
        Product part = {min(rows, p.m - i),
                        min(columns, p.n - j),
                        min(depth, p.k - k0),
                        part_of(p.a, i, k0),
                        part_of(p.b, k0, j),
                        nullptr,
                        nullptr,
                        p.c ? p.c + i * p.ldc + j : nullptr,
                        p.ldc,
                        at_column({p.epilogue.accumulate || k0 > 0, k0 + depth >= p.k ? p.epilogue.bias : nullptr}, j),
                        p.panels};
        if (p.epilogue.rounded) part.epilogue.rounded = p.epilogue.rounded + i * p.ldc + j;
        pack_on_all_threads(context, part, packed_a, i == 0 ? packed_b : nullptr);
        part.packed_a = packed_a;
        part.packed_b = packed_b;
        multiply_tiles(context, part);
      }
}

}  // namespace

void multiply_packed(int64_t m, int64_t n, int64_t k, const float* packed_a, const float* packed_b, float* c,
                     int64_t ldc, Epilogue epilogue) {
  if (k == 0) return write_empty_sum(m, n, c, ldc, epilogue);
  const Product product{m, n, k, {}, {}, packed_a, packed_b, c, ldc, epilogue};
  for (int64_t i = 0; i < m; i += tile_height)
    multiply_tile(product, i, min(tile_height, m - i), 0, n, c + i * ldc, ldc);
}

int64_t room_for_rows(int64_t m, int64_t k) { return packed_a_size(min(m, tile_height), k); }

void multiply_rows(int64_t m, int64_t n, int64_t k, Matrix a, const float* packed_b, float* c, int64_t ldc,
                   Epilogue epilogue, float* room) {
  for (int64_t i = 0; i < m; i += tile_height) {
    const int64_t rows = min(tile_height, m - i);
    pack_a(room, part_of(a, i, 0), rows, k);
    multiply_packed(rows, n, k, room, packed_b, c + i * ldc, ldc, epilogue);
  }
}

void multiply_here(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc, Epilogue epilogue) {
  if (k == 0) return write_empty_sum(m, n, c, ldc, epilogue);
  if (a.dtype == DType::float32) {
    const Product product{m, n, k, a, b, nullptr, nullptr, c, ldc, epilogue};
    return multiply_tile(product, 0, m, 0, n, c, ldc);
  }
  // Operands that cannot be read in place are packed on the stack, few rows and one block of depth at a time.
  float room[few_rows * block_depth];
  for (int64_t i = 0; i < m; i += few_rows)
    for (int64_t k0 = 0; k0 < k; k0 += block_depth) {
      const int64_t rows = min(few_rows, m - i), depth = min(block_depth, k - k0);
      pack_a_block(room, a, i, rows, k0, depth);
      const Product product{rows, n,       depth,       a,   part_of(b, k0, 0),
                            room, nullptr, c + i * ldc, ldc, block_epilogue(epilogue, k0, k)};
      multiply_tile(product, 0, rows, 0, n, product.c, ldc);
    }
}

namespace {

enum class Way { empty, decoded, row, column, here, parts, tiles, packing };

Way choose_way(const Product& p) {
  const auto is_vector = [](Matrix matrix) { return matrix.row_stride == 1 || matrix.column_stride == 1; };
  if (p.k <= 0) return Way::empty;
  if (p.m <= vector_blocks::most_decoded_rows && has_whole_columns(p.b, p.n, p.k)) return Way::decoded;
  if (p.m == 1 && is_vector(p.b)) return Way::row;
  if (p.n == 1 && is_vector(p.a) && p.b.dtype < first_block_dtype) return Way::column;
  if (p.m * p.n * p.k <= chunk_work) return Way::here;
  if (depth_of_parts(p.m, p.n, p.k) < p.k) return Way::parts;
  const int64_t columns_in_place = p.a.column_stride == 1                    ? few_columns_of_rows
                                   : p.a.column_stride % aliasing_steps == 0 ? tile_columns
                                                                             : few_columns;
  const bool in_place = p.a.dtype == DType::float32 && (p.m <= few_rows || p.n <= columns_in_place);
  return in_place ? Way::tiles : Way::packing;
}

// Whether panels are wide. Panels of pairs are not. Neither are panels of few columns, because the last one would be
// mostly padding.
bool takes_wide_panels(Way way, const Product& p) {
  return (way == Way::tiles || way == Way::packing) && p.a.pairs == Pairs::none && p.n >= least_wide;
}

void multiply_by(Context& context, Way way, const Product& p) {
  const auto [accumulate, bias, rounded] = p.epilogue;
  switch (way) {
    case Way::empty:
      return write_empty_sum(p.m, p.n, p.c, p.ldc, p.epilogue);
    case Way::decoded:
      return multiply_decoded(context, p);
    case Way::row:
      return multiply_vector(context, {p.n, p.k, p.a, p.b, p.c, 1, accumulate, bias, 1});
    case Way::column:
      return multiply_vector(context, {p.m, p.k, transposed(p.b), transposed(p.a), p.c, p.ldc, accumulate, bias, 0});
    case Way::here:
      return multiply_here(p.m, p.n, p.k, p.a, p.b, p.c, p.ldc, p.epilogue);
    case Way::parts:
      return multiply_in_parts(context, p, depth_of_parts(p.m, p.n, p.k));
    case Way::tiles:
      return multiply_tiles(context, p);
    case Way::packing:
      return multiply_packing(context, p);
  }
}

// A product without C, of pairs if the processor multiplies them.
Product product_of(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b) {
  Product p{m, n, k, a, b, nullptr, nullptr, nullptr, n, {}};
  if (m > 1 && n > 1 && a.dtype == DType::bfloat16 && b.dtype == DType::bfloat16 && multiplies_pairs()) {
    p.a = {a.data, a.row_stride, 2 * a.column_stride, a.dtype, Pairs::of_columns, k};
    p.b = {b.data, 2 * b.row_stride, b.column_stride, b.dtype, Pairs::of_rows, k};
    p.k = ceil_div(k, 2);
  }
  return p;
}

// The rows of A that multiply_alone packs at a time, for one block of depth, or 0 if it reads A in place.
int64_t rows_alone(Way way, const Product& p) {
  const bool is_far = p.a.column_stride != 1 && p.m * p.k > near_in_place;
  return way == Way::tiles && !is_far ? 0 : min(p.m, whole_height);
}

// Whether tiles hold their whole sums, so that they may round them at once.
bool rounds_tiles(Way way, const Product& p) {
  return way == Way::tiles || (way == Way::packing && packed_depth(p) == p.k);
}

void multiply_and_round(Context& context, Way way, Product p) {
  uint16_t* const rounded = p.epilogue.rounded;
  p.epilogue.rounded = nullptr;
  p.c = static_cast<float*>(scratch(context, size_t(p.m * p.n) * sizeof(float)));  // p.ldc is p.n
  multiply_by(context, way, p);
  const int64_t size = p.m * p.n, piece = pack_panels * tile_columns * block_depth;
  parallel(context, ceil_div(size, piece), [&](int64_t chunk) {
    const int64_t start = chunk * piece;
    simd::narrow_bfloat16(min(piece, size - start), rounded + start, p.c + start);
  });
}

}  // namespace

int64_t room_alone(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, bool rounds) {
  if (m <= 0 || n <= 0) return 0;
  const Product p = product_of(m, n, k, a, b);
  const Way way = choose_way(p);
  if (way != Way::tiles && way != Way::packing) return -1;
  return round_up(rows_alone(way, p), tile_rows * wide_rows) * min(p.k, block_depth) + (rounds ? m * n : 0);
}

void multiply_alone(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, Epilogue epilogue, float* room) {
  if (m <= 0 || n <= 0) return;
  Product p = product_of(m, n, k, a, b);
  const Way way = choose_way(p);
  if (takes_wide_panels(way, p)) p.panels = wide;
  uint16_t* const rounded = epilogue.rounded;
  epilogue.rounded = nullptr;
  p.c = c;
  if (rounded) {
    p.c = room;
    room += m * n;
  }
  p.epilogue = epilogue;
  if (const int64_t most = rows_alone(way, p); most == 0)
    for (int64_t i = 0; i < m; i += in_place_height)
      multiply_tile(p, i, min(in_place_height, m - i), 0, n, p.c + i * n, n);
  else
    for (int64_t i = 0; i < m; i += most)
      for (int64_t k0 = 0; k0 < p.k; k0 += block_depth) {
        const int64_t rows = min(most, m - i), depth = min(block_depth, p.k - k0);
        pack_a_block(room, p.a, i, rows, k0, depth, p.panels);
        const Product part{rows,
                           n,
                           depth,
                           part_of(p.a, i, k0),
                           part_of(p.b, k0, 0),
                           room,
                           nullptr,
                           p.c + i * n,
                           n,
                           block_epilogue(epilogue, k0, p.k),
                           p.panels};
        multiply_tile(part, 0, rows, 0, n, part.c, n);
      }
  if (rounded) simd::narrow_bfloat16(m * n, rounded, p.c);
}

void multiply(Context& context, int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc,
              Epilogue epilogue) {
  if (m <= 0 || n <= 0) return;
  const size_t mark = scratch_mark(context);
  Product p = product_of(m, n, k, a, b);
  p.c = c;
  p.ldc = ldc;
  p.epilogue = epilogue;
  const Way way = choose_way(p);
  if (takes_wide_panels(way, p)) p.panels = wide;
  epilogue.rounded && !rounds_tiles(way, p) ? multiply_and_round(context, way, p) : multiply_by(context, way, p);
  release_scratch(context, mark);
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
