// The arguments of a matrix product by warpgroups, from the host (matmul.cpp) to the device (matmul_wgmma.cu).
#pragma once
#include "product.h"
#include "tensor_map.h"

namespace firesteel::cuda {

// Tiles have this many rows, and 128 or 256 columns. Pieces have `wide_deep` elements along the depth, which are the
// 128 bytes of a swizzle.
constexpr int wide_rows = 128, wide_deep = 64, wide_stages = 4;
// A warpgroup that copies, and two that multiply 64 rows each.
constexpr int wide_threads = 384;

struct WideProduct {
  TensorMap a, b;
  Product product;
};

// A piece of both factors. The swizzle is that of addresses, so pieces begin at multiples of 1024 bytes.
template <int columns>
struct alignas(1024) WideStage {
  uint16_t a[wide_rows * wide_deep], b[columns * wide_deep];
};
template <int columns>
struct WideStages {
  WideStage<columns> of[wide_stages];
  uint64_t full[wide_stages], empty[wide_stages];
};

}  // namespace firesteel::cuda
