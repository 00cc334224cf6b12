// The sizes by which the norms cut their work, in a header so that tests find them. Only the shape decides.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::norm {

namespace layer {
constexpr int64_t work_elements = 32768;  // elements of a piece of work
constexpr int64_t block_rows = 64;        // rows whose parts of dweight and dbias are summed in float32
constexpr int64_t part_columns = 128;     // columns of those parts that are summed together
}  // namespace layer

namespace batch {
constexpr int64_t work_elements = 16384;  // elements of a piece of work
constexpr int64_t most_of_piece = 4096;   // elements whose statistics are taken together, while they are in the cache
// With this many channels, or groups of them, channels are not cut into parts
constexpr int64_t enough_units = 16;
constexpr int64_t most_together = 32;      // channels with small planes in one unit
constexpr int64_t short_run = 512;         // with fewer elements in a run, memory is better read in longer runs
constexpr int64_t far_elements = 1 << 20;  // more than second-level caches hold
}  // namespace batch

namespace group {
constexpr int64_t work_elements = 16384;  // elements of a piece of work
constexpr int64_t piece_elements = 4096;  // elements whose statistics are taken together, while they are in the cache
constexpr int64_t enough_rows = 16;       // with this many groups of images, each group is one piece of work
}  // namespace group

}  // namespace firesteel::FIRESTEEL_ISA::norm
