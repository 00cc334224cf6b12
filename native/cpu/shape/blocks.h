// Copies of block dtypes. Private to native/cpu/shape.
#pragma once
#include "../../core/kernel.h"

namespace firesteel::FIRESTEEL_ISA {

// A view of blocks along the last dimension, as a view of their bytes. Returns false if they lie along another
// dimension.
bool seen_as_bytes(const View& blocks, View* bytes);

// dst = src of one shape, where exactly one has blocks. Dense floats are rounded to dense blocks. Blocks along the last
// dimension, in any order of rows, become dense numbers of any dtype.
void encode_blocks(Context& context, const View& dst, const View& src);
void decode_rows(Context& context, const View& dst, const View& src);

}  // namespace firesteel::FIRESTEEL_ISA
