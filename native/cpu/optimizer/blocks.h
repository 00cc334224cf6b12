// The sizes by which optimiser steps cut their work. They stand in a header so that tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::optimizer_blocks {

// The elements of a piece of a tensor, and the least elements of a chunk of pieces.
constexpr int64_t piece_elements = 16384;
// The number of float64 registers in which a norm is summed side by side.
constexpr int sums_at_once = 4;

}  // namespace firesteel::FIRESTEEL_ISA::optimizer_blocks
