// The sizes by which interpolation cuts its work: here, where its tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA {

// Elements read and written that are worth a chunk.
constexpr int64_t resample_elements = 1 << 14;

}  // namespace firesteel::FIRESTEEL_ISA
