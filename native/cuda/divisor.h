// Division by a number that the host knows, without a division instruction.
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

// n / size = (high half of n * multiplier + n) >> shift, for n below 2^31
// (Granlund and Montgomery, PLDI 1994).
struct Divisor {
  uint32_t size, multiplier, shift;
};

// `size` is at least 1.
inline Divisor make_divisor(uint32_t size) {
  uint32_t shift = 0;
  while ((uint64_t(1) << shift) < size) shift++;
  const uint64_t power = uint64_t(1) << 32;
  return {size, static_cast<uint32_t>(power * ((uint64_t(1) << shift) - size) / size + 1), shift};
}

}  // namespace firesteel::cuda
