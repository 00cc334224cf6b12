// One channel through 3 x 3 adjacent taps at stride 1, which most depthwise layers have. Four rows of results, or of
// gradients, are computed together. So a row of the source is loaded once for each column of taps, and serves the three
// rows that it touches. The 9 multiply-adds of an element take 4.5 loads, whereas a sum tap by tap takes 9. Memory is
// read along its rows.
#pragma once
#include "shape.h"

namespace firesteel::FIRESTEEL_ISA::conv {

// to [rows, columns], rows to_pitch apart, = bias + the sum over (r, s) of weights[3 r + s] tile[row
// + r][column + s]. Rows of the tile are pitch apart, and readable for a vector beyond columns + 2.
void sweep_product(float* to, int64_t to_pitch, const float* tile, int64_t pitch, int64_t rows, int64_t columns,
                   const float* weights, float bias);

// sums[3 r + s] += the sum over [rows, columns] of dy times tile[row + r][column + s].
void sweep_gradient(double* sums, const float* dy, int64_t dy_pitch, const float* tile, int64_t pitch, int64_t rows,
                    int64_t columns);

}  // namespace firesteel::FIRESTEEL_ISA::conv
