// The sizes by which optimiser steps cut their work: here, where their tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::optimizer_blocks {

// Elements of a piece of a tensor, and the least of a chunk of pieces.
constexpr int64_t piece_elements = 16384;
// Registers of float64 that a norm is summed in side by side.
constexpr int sums_at_once = 4;

}  // namespace firesteel::FIRESTEEL_ISA::optimizer_blocks
