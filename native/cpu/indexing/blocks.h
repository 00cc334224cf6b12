// The sizes by which gather and scatter_add cut their work. They stand in a header so that tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA {

// The most and the least inner positions that one unit of work takes, over the whole of dim. Calls that would have too
// few units to occupy the threads use the least, a few cache lines.
constexpr int64_t inner_tile = 256, least_tile = 64, enough_units = 16;

}  // namespace firesteel::FIRESTEEL_ISA
