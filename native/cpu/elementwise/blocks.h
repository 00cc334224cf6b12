// The size by which comparisons cut their work. It stands in a header so that tests find it. The other sizes are in
// driver.h, strided.h and tiles.h.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA {

// Elements of 16 bits that comparisons widen at a time, per operand.
constexpr int64_t compared_halves = 256;

}  // namespace firesteel::FIRESTEEL_ISA
