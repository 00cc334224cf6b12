// The size by which gather and scatter_add cut their work: here, where their tests find it.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA {

// Inner positions that one unit of work takes at a time, for all of dim.
constexpr int64_t inner_tile = 256;

}  // namespace firesteel::FIRESTEEL_ISA
