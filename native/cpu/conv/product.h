// The implicit product of the forward pass and of the gradient of the input: result [M, P Q] = weights [M, K] x patches
// [K, P Q] of one image and group. A column of the patches holds what one position reads of the source (K = channels x
// taps). The patches are never stored as a whole. A block of positions and of depth is packed straight into the panels
// of gemm's micro-kernel, from a tile of the source that fits the second-level cache. K. Chellapilla et al., "High
// Performance Convolutional Neural Networks for Document Processing", 2006, describe the matrix, and M. Dukhan, "The
// Indirect Convolution Algorithm", 2019, describes how to do without it. Each element of the tile is copied once, and
// packed once for each tap.
//
// Packing does not pay for up to four rows of results, or for a single channel. These are computed from the tile
// itself, in registers over the depth.
#pragma once
#include "../gemm/micro.h"
#include "tile.h"

namespace firesteel::FIRESTEEL_ISA::conv {

struct Product {
  // Given by the caller.
  int64_t channels;    // of the source
  int64_t M, P, Q;     // rows of the result, and its positions
  Axis rows, columns;  // what a position reads
  bool bias;           // one more step of depth, in which weights hold the bias and patches hold ones

  // Made by plan_products.
  bool in_place;  // one tap, and each position reads its own element: the source is its own tile
  bool sweep;     // one channel, and taps that sweep.h can take
  bool few;       // few rows of results, or a sweep: no packing
  gemm::Panels panels;
  Span row_span, column_span;
  int64_t depth, depth_block;  // K and the part of it that is summed in registers
  int64_t tile_channels;       // of the source, in a tile
  int64_t block_rows, block_columns, blocks_of_rows, blocks_of_columns;
  int64_t plane, row_advance;  // in a tile: floats of a channel, and floats between rows of positions
  int64_t kept_rows;           // rows of M that use a block's panels
  bool keeps_panels;           // whether all panels of a block are kept, instead of one
  int64_t tile_floats, room_floats;
  int64_t* offsets;  // [K] the place of a step of depth, from the first channel of its block
};

// Plans products of one source, alone or together. Products that share tiles have the same blocks of channels, and the
// same blocks of positions, numbered as those of the largest. Several products must have equal channels and M, and
// steps of 1.
void plan_products(Context& context, Product* products, int64_t count);

// Whether plan_products may take them together.
bool can_share_tiles(const Product* products, int64_t count);

static inline int64_t blocks_of(const Product& product) { return product.blocks_of_rows * product.blocks_of_columns; }

// Weights are packed one block of depth after another, as by pack_a, with the bias below the last. This is the number
// of floats of all of them.
int64_t packed_weights(const Product& product);

// Packs rows [m0, m1) (m0 a multiple of whole_rows) of weights [M, K], whose element (m, k) is at weights[m *
// row_stride + index[k]]. A null index means index[k] = k. bias may be null if the product has none.
void pack_weights(const Product& product, float* to, const float* weights, int64_t row_stride, const int64_t* index,
                  const float* bias, int64_t m0, int64_t m1);

struct Block {
  int64_t row, column, rows,
      columns;  // positions; one row or whole rows, so that they are consecutive in a plane
};

// A block may be empty, with rows or columns below 1, if products share tiles.
Block block_at(const Product& product, int64_t number);

// Overwrites rows [m0, m1) (m0 a multiple of whole_rows) of a block. c is the block's first position in row m0, and ldc
// the distance between rows. room holds product.room_floats.
void multiply_block(const Product& product, const Block& block, const float* source, const float* weights, int64_t m0,
                    int64_t m1, float* c, int64_t ldc, float* room);

// The same for `count` products that share tiles: computes block `number` of all of them. Product i goes from
// weights[i] to c + i * c_floats, in rows whose length is the number of the block's positions.
void multiply_blocks(const Product* products, int64_t count, int64_t number, const float* source,
                     const float* const* weights, int64_t m0, int64_t m1, float* c, int64_t c_floats, float* room);

}  // namespace firesteel::FIRESTEEL_ISA::conv
