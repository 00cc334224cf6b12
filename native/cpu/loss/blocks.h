// Sizes by which losses of labels cut their work, of which their tests are made too. Only the shape decides.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::loss {

constexpr int64_t picked_rows = 4096;        // of a chunk of forward, which reads one element of each
constexpr int64_t cleared_elements = 65536;  // of a chunk of backward

// Of linear_cross_entropy: logits that are there at a time, about, and rows of them. There are a block of depth of
// matmul's of rows at least, lest the weight be read for fewer.
constexpr int64_t logits_at_once = int64_t(1) << 25;
constexpr int64_t most_rows_at_once = 3072;
constexpr int64_t moved_elements = 32768;  // of a chunk of rows that are picked out, or put in their places
constexpr int64_t summed_columns = 1024;   // of a chunk of sums over rows

}  // namespace firesteel::FIRESTEEL_ISA::loss
