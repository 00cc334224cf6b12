// The sizes by which random numbers cut their work: here, where their tests find them. The blocks of Philox that are
// computed at once stand in philox.h.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::random {

constexpr int64_t chunk_elements = 16384;  // whole blocks
constexpr int64_t buffer_words = 768;      // whole groups of blocks on every instruction set

}  // namespace firesteel::FIRESTEEL_ISA::random
