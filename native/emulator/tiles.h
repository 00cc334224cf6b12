// The fake driver's form of a tensor map, and what the scheduler of fibers asks of asynchronous work.
#pragma once
#include <stdint.h>
#include <string.h>

#include "../cuda/tensor_map.h"

namespace emulator {

// A matrix of 16-bit elements, and the box that a copy takes of it.
struct TiledMatrix {
  const char* data;
  int64_t width, height, line_bytes;
  uint32_t box_width, box_height;
};

inline TiledMatrix matrix_of(const TensorMap& map) {
  TiledMatrix matrix;
  memcpy(&matrix, map.bits, sizeof matrix);
  return matrix;
}
inline TensorMap map_of(const TiledMatrix& matrix) {
  TensorMap map = {};
  memcpy(map.bits, &matrix, sizeof matrix);
  return map;
}

// Forgets the asynchronous work of the block before.
void begin_block_work();
// Ends one piece of asynchronous work, because no thread of the block can run. False if there is none.
bool end_one_work();
// Fails if the block ends before its work.
void check_block_work();

}  // namespace emulator
