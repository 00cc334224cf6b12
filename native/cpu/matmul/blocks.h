// The sizes by which a batch of products is dealt out to threads: here, where their tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::matmul_blocks {

// From this many multiply-adds on, one product occupies all threads well.
constexpr int64_t large_product = int64_t(1) << 21;
// A chunk of small products holds at least this many multiply-adds.
constexpr int64_t chunk_work = int64_t(1) << 17;

}  // namespace firesteel::FIRESTEEL_ISA::matmul_blocks
