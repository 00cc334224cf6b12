// Panels of the products of both Winograd kernels (winograd.h), which transforms write directly, vector by vector.
#pragma once
#include "../gemm/micro.h"
#include "../simd/vector.h"
#include "shape.h"

namespace firesteel::FIRESTEEL_ISA::conv {

constexpr int64_t row_vectors = (gemm::tile_rows + simd::lanes - 1) / simd::lanes;
// Rows of a panel of rows are written in whole vectors, which extend beyond the row, and after the last row beyond the
// panel.
constexpr int64_t panel_slack = row_vectors * simd::lanes - gemm::tile_rows;
static_assert(row_vectors == 1 || panel_slack == 0, "vectors of a panel are written one after another");
static_assert(gemm::tile_columns % simd::lanes == 0, "a panel of columns is whole vectors");

static inline int64_t row_panel_floats(int64_t depth) { return depth * gemm::tile_rows + panel_slack; }

// Rows of whole-panel products: panels of rows, `distance` floats apart, times one whole panel of columns.
static inline void multiply_panels(float* to, int64_t to_row, const float* left, int64_t distance, const float* right,
                                   int64_t rows, int64_t depth, bool accumulate) {
  for (int64_t i = 0; i < rows; i += gemm::tile_rows, left += distance)
    gemm::micro_kernel({left, 1, gemm::tile_rows, right, gemm::tile_columns, to + i * to_row, to_row,
                        min(gemm::tile_rows, rows - i), gemm::tile_columns, depth, accumulate, nullptr});
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
