// A matrix of 16-bit elements as the engine of bulk copies sees it. The driver writes its bits, which only the hardware
// reads (cuTensorMapEncodeTiled).
#pragma once
#include <stdint.h>

struct alignas(128) TensorMap {
  uint64_t bits[16];
};
