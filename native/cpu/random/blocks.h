// The sizes by which random numbers cut their work. They stand in a header so that tests find them. The number of
// Philox blocks computed at once stands in philox.h.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::random {

constexpr int64_t chunk_elements = 16384;  // whole blocks
constexpr int64_t buffer_words = 768;      // whole groups of blocks on every instruction set

}  // namespace firesteel::FIRESTEEL_ISA::random
