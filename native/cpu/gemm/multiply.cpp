// The drivers over the micro-kernel. Three ways, chosen by shape alone:
//
//   multiply_vector  M or N is 1: each element of the matrix is used once, memory bandwidth is the limit (vector.cpp).
//   stream           few rows or little work: columns are cut between threads, A is read in place, and B is read in place
//                    or packed panel by panel on the stack. No scratch memory, one parallel section.
//   pack_and_tile    everything else: A and B are packed by all threads, then all threads take tiles of C.
//
// A product with few tiles and a large K is first cut in depth (multiply_in_parts).
//
// Loops within a tile, from the outside: blocks of KC in depth; panels of B (first-level cache); panels of A (their block,
// tile_height x KC, stays in the second-level cache); the micro-kernel. C is read and written once per block of depth.
#include <string.h>

#include "pack.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

// Fixed constants, so that bits do not depend on the machine. Sizes count floats, work counts multiply-adds.
constexpr int64_t tile_height = 16 * tile_rows;     // a block of A: about 100 KB
constexpr int64_t tile_width = 16 * tile_columns;   // a block of B: about 256 KB
constexpr int64_t packed_limit = int64_t(4) << 20;  // of one operand at a time: what a shared last-level cache may keep
constexpr int64_t depth_limit = 16 * block_depth;   // packed at a time
constexpr int64_t chunk_work = int64_t(1) << 18;    // a chunk smaller than this costs more to hand over than to do
constexpr int64_t enough_chunks = 64;               // more do not balance better
constexpr int64_t few_rows = 4 * tile_rows;         // up to here B is not used often enough to be packed for all
constexpr int64_t few_columns = 2 * tile_columns;   // up to here A is not used often enough to be packed

// One block of depth of an operand, cut into panels: packed, or in place.
struct Left {
  const float* data;
  int64_t row, depth, panel;  // strides between rows, steps of depth, panels
};

struct Right {
  const float* data;
  int64_t depth, panel;
};

Left packed_left(const float* data, int64_t depth) { return {data, 1, tile_rows, tile_rows * depth}; }

Left left_in_place(Matrix a, int64_t row, int64_t k) {
  return {a.data + row * a.row_stride + k * a.column_stride, a.row_stride, a.column_stride, tile_rows * a.row_stride};
}

Right packed_right(const float* data, int64_t depth) { return {data, tile_columns, tile_columns * depth}; }

// In place only where columns are consecutive, and for whole panels.
Right right_in_place(Matrix b, int64_t k, int64_t column) {
  return {b.data + k * b.row_stride + column, b.row_stride, tile_columns};
}

void multiply_block(int64_t m, int64_t n, int64_t depth, Left a, Right b, float* c, int64_t ldc, Epilogue epilogue) {
  for (int64_t j = 0; j < n; j += tile_columns, b.data += b.panel) {
    const float* panel_of_a = a.data;
    for (int64_t i = 0; i < m; i += tile_rows, panel_of_a += a.panel)
      micro_kernel({panel_of_a, a.row, a.depth, b.data, b.depth, c + i * ldc + j, ldc, smaller(tile_rows, m - i),
                    smaller(tile_columns, n - j), depth, epilogue.accumulate,
                    epilogue.bias ? epilogue.bias + j : nullptr});
  }
}

// The epilogue of one block of depth out of K: later blocks accumulate, the last one adds the bias.
Epilogue block_epilogue(Epilogue epilogue, int64_t k0, int64_t k) {
  return {epilogue.accumulate || k0 > 0, k0 + block_depth >= k ? epilogue.bias : nullptr};
}

Epilogue at_column(Epilogue epilogue, int64_t column) {
  return {epilogue.accumulate, epilogue.bias ? epilogue.bias + column : nullptr};
}

// K = 0: nothing to sum.
void write_empty_sum(int64_t m, int64_t n, float* c, int64_t ldc, Epilogue epilogue) {
  for (int64_t i = 0; i < m; i++, c += ldc)
    for (int64_t j = 0; j < n; j++)
      c[j] = (epilogue.accumulate ? c[j] : 0) + (epilogue.bias ? epilogue.bias[j] : 0);
}

// Columns [begin, end) of C on the calling thread, without packing A and with at most one panel of B packed at a time.
void stream_columns(int64_t m, int64_t k, Matrix a, Matrix b, int64_t begin, int64_t end, float* c, int64_t ldc,
                    Epilogue epilogue) {
  alignas(64) float room[block_depth * tile_columns];
  for (int64_t j = begin; j < end; j += tile_columns) {
    const int64_t columns = smaller(tile_columns, end - j);
    const bool in_place = b.column_stride == 1 && columns == tile_columns;
    for (int64_t k0 = 0; k0 < k; k0 += block_depth) {
      const int64_t depth = smaller(block_depth, k - k0);
      if (!in_place) pack_b_block(room, b, k0, depth, j, columns);
      multiply_block(m, columns, depth, left_in_place(a, 0, k0),
                     in_place ? right_in_place(b, k0, j) : packed_right(room, depth), c + j, ldc,
                     block_epilogue(at_column(epilogue, j), k0, k));
    }
  }
}

void stream(Context& context, int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc,
            Epilogue epilogue) {
  const int64_t columns = round_up(larger(chunk_work / (m * k), 1), tile_columns);
  parallel(context, ceil_div(n, columns), [&](int64_t chunk) {
    stream_columns(m, k, a, b, chunk * columns, smaller(n, (chunk + 1) * columns), c, ldc, epilogue);
  });
}

// The size of tiles that a dimension of `size` is cut into: at most `limit`, about equal, whole panels.
int64_t even_tiles(int64_t size, int64_t limit, int64_t panel) {
  return round_up(ceil_div(size, ceil_div(size, limit)), panel);
}

void pack_and_tile(Context& context, int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc,
                   Epilogue epilogue) {
  const bool pack_left = n > few_columns;
  const int64_t m_padded = round_up(m, tile_rows), n_padded = round_up(n, tile_columns);
  float* packed_b = static_cast<float*>(scratch(context, size_t(n_padded * k) * sizeof(float)));
  float* packed_a = pack_left ? static_cast<float*>(scratch(context, size_t(m_padded * k) * sizeof(float))) : nullptr;

  int64_t height = even_tiles(m, tile_height, tile_rows), width = even_tiles(n, tile_width, tile_columns);
  while (ceil_div(m, height) * ceil_div(n, width) < enough_chunks && height * width * k > 2 * chunk_work) {
    if (height * tile_columns > width * tile_rows)
      height = round_up(height / 2, tile_rows);
    else if (width > tile_columns)
      width = round_up(width / 2, tile_columns);
    else
      break;
  }
  const int64_t tiles_down = ceil_div(m, height), tiles_across = ceil_div(n, width);

  const int64_t blocks = ceil_div(k, block_depth);
  const int64_t packs_a = pack_left ? ceil_div(m, tile_height) : 0, packs_b = ceil_div(n, tile_width);
  parallel(context, (packs_a + packs_b) * blocks, [&](int64_t chunk) {
    const int64_t k0 = chunk / (packs_a + packs_b) * block_depth, depth = smaller(block_depth, k - k0);
    const int64_t part = chunk % (packs_a + packs_b);
    if (part < packs_b) {
      const int64_t j = part * tile_width;
      pack_b_block(packed_b + k0 * n_padded + j * depth, b, k0, depth, j, smaller(tile_width, n - j));
    } else {
      const int64_t i = (part - packs_b) * tile_height;
      pack_a_block(packed_a + k0 * m_padded + i * depth, a, i, smaller(tile_height, m - i), k0, depth);
    }
  });

  parallel(context, tiles_down * tiles_across, [&](int64_t chunk) {
    const int64_t i = chunk % tiles_down * height, j = chunk / tiles_down * width;
    for (int64_t k0 = 0; k0 < k; k0 += block_depth) {
      const int64_t depth = smaller(block_depth, k - k0);
      multiply_block(smaller(height, m - i), smaller(width, n - j), depth,
                     pack_left ? packed_left(packed_a + k0 * m_padded + i * depth, depth) : left_in_place(a, i, k0),
                     packed_right(packed_b + k0 * n_padded + j * depth, depth), c + i * ldc + j, ldc,
                     block_epilogue(at_column(epilogue, j), k0, k));
    }
  });
}

}  // namespace

void multiply_packed(int64_t m, int64_t n, int64_t k, const float* packed_a, const float* packed_b, float* c,
                     int64_t ldc, Epilogue epilogue) {
  if (k == 0) return write_empty_sum(m, n, c, ldc, epilogue);
  const int64_t m_padded = round_up(m, tile_rows), n_padded = round_up(n, tile_columns);
  for (int64_t i = 0; i < m; i += tile_height)
    for (int64_t k0 = 0; k0 < k; k0 += block_depth) {
      const int64_t depth = smaller(block_depth, k - k0);
      multiply_block(smaller(tile_height, m - i), n, depth, packed_left(packed_a + k0 * m_padded + i * depth, depth),
                     packed_right(packed_b + k0 * n_padded, depth), c + i * ldc, ldc,
                     block_epilogue(epilogue, k0, k));
    }
}

int64_t room_for_rows(int64_t m, int64_t k) {
  return packed_a_size(smaller(m, tile_height), smaller(k, block_depth));
}

void multiply_rows(int64_t m, int64_t n, int64_t k, Matrix a, const float* packed_b, float* c, int64_t ldc,
                   Epilogue epilogue, float* room) {
  if (k == 0) return write_empty_sum(m, n, c, ldc, epilogue);
  const int64_t n_padded = round_up(n, tile_columns);
  for (int64_t i = 0; i < m; i += tile_height) {
    const int64_t rows = smaller(tile_height, m - i);
    for (int64_t k0 = 0; k0 < k; k0 += block_depth) {
      const int64_t depth = smaller(block_depth, k - k0);
      pack_a_block(room, a, i, rows, k0, depth);
      multiply_block(rows, n, depth, packed_left(room, depth), packed_right(packed_b + k0 * n_padded, depth),
                     c + i * ldc, ldc, block_epilogue(epilogue, k0, k));
    }
  }
}

void multiply_here(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc, Epilogue epilogue) {
  if (k == 0) return write_empty_sum(m, n, c, ldc, epilogue);
  stream_columns(m, k, a, b, 0, n, c, ldc, epilogue);
}

void multiply(Context& context, int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc,
              Epilogue epilogue) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) return write_empty_sum(m, n, c, ldc, epilogue);
  if (m <= few_rows || m * n * k <= chunk_work) return stream(context, m, n, k, a, b, c, ldc, epilogue);
  pack_and_tile(context, m, n, k, a, b, c, ldc, epilogue);
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
