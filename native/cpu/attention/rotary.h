// The size of chunks of rotary positions. It stands in a header so that its tests find it.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::attention {

// Elements of a chunk.
constexpr int64_t turned_elements = 1 << 14;

}  // namespace firesteel::FIRESTEEL_ISA::attention
