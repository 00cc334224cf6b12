// The arguments of the kernels of attention, from the host (attention.cpp) to the device (attention.cu,
// attention_mma.cu).
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

// A tensor [B, H, T, D] with strides in elements. Its data is null if it is not wanted.
struct Heads {
  void* data;
  int64_t batch, head, row, column;
  bool vectors;  // whether 4 neighbouring features of a row are read together
};

struct Attention {
  Heads q, k, v, out, dy, dq, dk, dv;
  Heads mask_bool, mask_add;  // [B, Hq, Tq, Tk]
  const int32_t* lengths;     // the number of each batch row's keys; null: all keys
  uint64_t* wrong;            // the slot for an impossible length
  float* statistics;          // [B, Hq, 2, Tq]: the largest score, and the sum of exponentials relative to it
  float* delta;               // [B, Hq, Tq]: the sum of dy out over a row
  float* dmask;               // [B, Hq, Tq, Tk]
  int32_t batches, query_heads, key_heads, queries, keys, size, value_size;
  float scale;
  // Key j takes part in query i if i + first <= j <= i + last.
  int32_t first, last;
  uint64_t drop_below;  // a pair whose random word is below it is dropped
  float kept_scale;
  uint64_t seed, random_offset;
  uint32_t stream;
};

}  // namespace firesteel::cuda
