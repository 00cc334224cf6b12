// The sizes by which gather and scatter_add cut their work. They stand in a header so that tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA {

// Inner positions that one unit of work takes at a time, for all of dim; and at least, a few cache lines, where there
// would be too few units to occupy the threads.
constexpr int64_t inner_tile = 256, least_tile = 64, enough_units = 16;

}  // namespace firesteel::FIRESTEEL_ISA
