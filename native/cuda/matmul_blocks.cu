// Matrix products whose right factor is stored in blocks, which are decoded as they are loaded: tiles of 64x64 by
// multiply-adds, as in matmul.cu. Few rows have their own kernels (matmul_few.cu), and so does bfloat16 on tensor cores
// (matmul_blocks_mma.cu).
#include "blocks.h"
#include "multiply_add.h"

namespace firesteel::cuda {

// Four neighbours lie in one block, so all of them exist or all are beyond the end.
template <class Format, int tile>
struct BlockCarrier {
  using At = Places<tile>;
  int64_t at;     // of the first element
  int32_t lines;  // that are left, from the first of these 4 on
  float held[4];

  DEVICE BlockCarrier(const Product& job, const Factor& factor, int64_t matrix, int32_t first_line, int32_t all_lines,
                      int32_t first) {
    const bool along_depth = At::goes_along_depth(factor);
    const int32_t line = first_line + At::line_in_piece(along_depth);
    lines = all_lines - line;
    at = offset_of(job, factor, matrix) + line * factor.line + (first + At::depth_in_piece(along_depth)) * factor.depth;
  }

  DEVICE void fetch(const Factor& factor, int32_t left) {
    left -= At::depth_in_piece(At::goes_along_depth(factor));
    Numbers numbers = {};
    if (lines > 0 && left > 0) numbers = numbers_at<Format>(factor.data, at);
#pragma unroll
    for (int q = 0; q < 4; q++) held[q] = numbers.of[q];
    at += deep<tile> * factor.depth;
  }

  DEVICE void put(const Factor& factor, Piece<tile>& piece) const { At::put(factor, piece, held); }
};

template <int tile>
struct Carrier<Q8, tile> : BlockCarrier<Q8, tile> {
  using BlockCarrier<Q8, tile>::BlockCarrier;
};
template <int tile>
struct Carrier<Q4, tile> : BlockCarrier<Q4, tile> {
  using BlockCarrier<Q4, tile>::BlockCarrier;
};
template <int tile>
struct Carrier<Nf4, tile> : BlockCarrier<Nf4, tile> {
  using BlockCarrier<Nf4, tile>::BlockCarrier;
};

}  // namespace firesteel::cuda

using namespace firesteel::cuda;

#define BLOCKS(name, Format)                                                                                         \
  KERNEL_BY_TWO(matmul_64_float32_##name, const __grid_constant__ Product job) { multiply<float, Format, 64>(job); } \
  KERNEL_BY_TWO(matmul_64_bfloat16_##name, const __grid_constant__ Product job) { multiply<bfloat16, Format, 64>(job); }

BLOCKS(q8_0, Q8)
BLOCKS(q4_0, Q4)
BLOCKS(nf4, Nf4)
