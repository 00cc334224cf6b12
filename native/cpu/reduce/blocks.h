// The sizes by which reductions cut their work. They stand in a header so that tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA {

// Elements of a segment that one thread folds, and rows added in float32 before float64 takes over.
constexpr int64_t segment_elements = 32768;
constexpr int64_t float_rows = 128;
// Elements of a row added in float32, a register's lanes apart, before float64 takes over.
constexpr int64_t float_row = 1024;
// Rows with fewer elements are read along with those of neighbouring outputs, at most this many.
constexpr int64_t short_row = 512;
constexpr int64_t most_together = 64;
// Columns folded together if rows fold into a row, and rows of bfloat16 widened at a time.
constexpr int64_t column_tile = 512;
constexpr int64_t rows_together = 16;
// Columns that go side by side in argmax, argmin and running sums, if the dimension is not the innermost one in memory.
constexpr int64_t along_tile = 256;
// Lines whose exponentials are taken together.
constexpr int64_t lines_together = 32;

}  // namespace firesteel::FIRESTEEL_ISA
