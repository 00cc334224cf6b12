// Sizes by which the norms cut their work, of which their tests are made too. Only the shape decides.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::norm {

namespace layer {
constexpr int64_t work_elements = 32768;  // of a piece of work
constexpr int64_t block_rows = 64;        // whose parts of dweight and dbias are summed in float32
constexpr int64_t part_columns = 128;     // of those parts, summed at a time
}  // namespace layer

namespace batch {
constexpr int64_t work_elements = 16384;   // of a piece of work
constexpr int64_t most_of_piece = 4096;    // elements whose statistics are taken together, while they are in the cache
constexpr int64_t enough_units = 16;       // channels, or groups of them, from which channels are not cut into parts
constexpr int64_t most_together = 32;      // channels with small planes in one unit
constexpr int64_t short_run = 512;         // elements, that memory should rather be read in longer ones
constexpr int64_t far_elements = 1 << 20;  // more than second-level caches hold
}  // namespace batch

namespace group {
constexpr int64_t work_elements = 16384;  // of a piece of work
constexpr int64_t piece_elements = 4096;  // whose statistics are taken together, while they are in the cache
constexpr int64_t enough_rows = 16;       // groups of images from which each is one piece of work
}  // namespace group

}  // namespace firesteel::FIRESTEEL_ISA::norm
