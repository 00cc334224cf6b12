// The sizes by which losses of labels cut their work, in a header so that tests find them. Only the shape decides.
#pragma once
#include "../gemm/blocks.h"

namespace firesteel::FIRESTEEL_ISA::loss {

constexpr int64_t picked_rows = 4096;        // rows of a chunk of forward, which reads one element of each
constexpr int64_t cleared_elements = 65536;  // elements of a chunk of backward

// linear_cross_entropy: the approximate number of logits that exist at a time, and their rows. There are at least as
// many rows as a block of depth of matmul, so that the weight is never read for fewer.
constexpr int64_t logits_at_once = int64_t(1) << 25;
constexpr int64_t most_rows_at_once = 3072;
// The most rows with which each thread packs the weight for itself. With up to twice as many, the weight passes through
// the memory that threads share, and is used too little for that.
constexpr int64_t rows_of_thread = gemm::multiply_blocks::whole_height;
constexpr int64_t moved_elements = 32768;  // elements of a chunk of rows that are gathered or scattered
constexpr int64_t summed_columns = 1024;   // columns of a chunk of sums over rows

}  // namespace firesteel::FIRESTEEL_ISA::loss
