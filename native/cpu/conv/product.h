// The implicit product of forward and of the gradient of the input: result [M, P Q] = weights [M, K] x patches [K, P Q]
// of one image and group, where a patch column holds what one position reads of the source (K = channels x taps). The
// patches are never stored as a whole: for a block of positions and a block of depth they are packed, straight into the
// panels of gemm's micro-kernel, from a tile of the source that fits the second-level cache (K. Chellapilla et al.,
// "High Performance Convolutional Neural Networks for Document Processing", 2006, for the matrix; M. Dukhan, "The
// Indirect Convolution Algorithm", 2019, for leaving it out). Each element of the tile is copied once, and packed once
// for each tap.
//
// Up to four rows of result, or a single channel, do not repay packing: they are computed from the tile itself, in
// registers over the depth.
#pragma once
#include "tile.h"

namespace firesteel::FIRESTEEL_ISA::conv {

struct Product {
  // Given by the caller.
  int64_t channels;    // of the source
  int64_t M, P, Q;     // rows of the result, and its positions
  Axis rows, columns;  // what a position reads
  bool bias;           // one more step of depth: weights hold the bias, patches hold ones

  // Made by plan_products.
  bool in_place;  // one tap, each position reading its own element: the source is its own tile
  bool sweep;     // a channel and taps for sweep.h
  bool few;       // rows of the result, or a sweep: no packing
  Span row_span, column_span;
  int64_t depth, depth_block;  // K and the part of it that is summed in registers
  int64_t tile_channels;       // of the source, in a tile
  int64_t block_rows, block_columns, blocks_of_rows, blocks_of_columns;
  int64_t plane, row_advance;  // in a tile: floats of a channel, floats between rows of positions
  int64_t kept_rows;           // of M, for which a block's panels pass by
  bool keeps_panels;           // all of a block, instead of one at a time
  int64_t tile_floats, room_floats;
  int64_t* offsets;  // [K] where a step of depth lies, from the first channel of its block
};

// Plans products of one source, alone or together: those that share tiles have the same blocks of positions, numbered
// as those of the largest, and of channels. Several must have equal channels and M and steps of 1.
void plan_products(Context& context, Product* products, int64_t count);

// Whether plan_products may take them together.
bool can_share_tiles(const Product* products, int64_t count);

static inline int64_t blocks_of(const Product& product) { return product.blocks_of_rows * product.blocks_of_columns; }

// Weights are packed block of depth by block of depth as pack_a does, the bias below the last: floats of all of them.
int64_t packed_weights(const Product& product);

// Packs rows [m0, m1) (m0 a multiple of MR) of weights [M, K], element (m, k) at weights[m * row_stride + index[k]];
// null index: at m * row_stride + k. bias may be null where the product has none.
void pack_weights(const Product& product, float* to, const float* weights, int64_t row_stride, const int64_t* index,
                  const float* bias, int64_t m0, int64_t m1);

struct Block {
  int64_t row, column, rows,
      columns;  // positions; either one row or whole rows, so that they are consecutive in a plane
};

// A block may be empty, with rows or columns below 1, where products share tiles.
Block block_at(const Product& product, int64_t number);

// Overwrites rows [m0, m1) (m0 a multiple of MR) of a block; c is the block's first position in row m0, ldc the
// distance of rows. room holds product.room_floats.
void multiply_block(const Product& product, const Block& block, const float* source, const float* weights, int64_t m0,
                    int64_t m1, float* c, int64_t ldc, float* room);

// The same of `count` products that share tiles: block `number` of all of them, of product i from weights[i] to c + i *
// c_floats, whose rows are as far apart as the block has positions.
void multiply_blocks(const Product* products, int64_t count, int64_t number, const float* source,
                     const float* const* weights, int64_t m0, int64_t m1, float* c, int64_t c_floats, float* room);

}  // namespace firesteel::FIRESTEEL_ISA::conv
