// The sizes by which a batch of products is divided among threads. They stand in a header so that tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::matmul_blocks {

// From this many multiply-adds on, one product occupies all threads well.
constexpr int64_t large_product = int64_t(1) << 21;
// Up to this many, each thread multiplies matrices of its own, as long as there are enough for all.
constexpr int64_t largest_alone = int64_t(1) << 26;
// The least multiply-adds in a chunk of small products.
constexpr int64_t chunk_work = int64_t(1) << 17;

}  // namespace firesteel::FIRESTEEL_ISA::matmul_blocks
