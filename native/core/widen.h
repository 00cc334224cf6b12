// Reading of 16-bit floats of a file as float32.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../generated/dtypes.h"

namespace firesteel {

// Whether a load can widen elements of this dtype.
constexpr bool is_widened(DType dtype) { return dtype == DType::bfloat16 || dtype == DType::float16; }

// Reads `count` elements of a widened dtype from a place of an open file on, as float32. They have the bits that the
// kernel `copy` gives. Several threads may read at once. Returns false if the file ends before, or cannot be read.
bool read_widened(int file, int64_t position, float* to, size_t count, DType dtype);

}  // namespace firesteel
