// The direct sum over the few tiles that Winograd's algorithm leaves out (winograd_range.h).
#pragma once
#include "blocks.h"
#include "winograd.h"
#include "winograd_tile.h"

namespace firesteel::FIRESTEEL_ISA::conv {

// The floats of the room that direct_product needs for `rows` rows.
int64_t direct_product_floats(int64_t rows);

// Overwrites the results of rows [m, m + rows) of a group, m a multiple of MR, in the tiles first + numbers[0 .. count)
// of map_tiles(p.N, p.P, p.Q).
void direct_product(const WinogradProduct& p, const float* source, float* result, int64_t group, int64_t first,
                    const int32_t* numbers, int64_t count, int64_t m, int64_t rows, float* room);

// Adds the contribution of tiles numbers[0 .. count) of map_tiles(s.N, s.P, s.Q) to the gradient of a group's weight.
// dy, x and dweight begin at the group.
void add_direct_gradient(Context& context, const Shape& s, float* dweight, const float* dy, const float* x,
                         const int32_t* numbers, int64_t count);

}  // namespace firesteel::FIRESTEEL_ISA::conv
