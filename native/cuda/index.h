// From the number of an element to its place in memory, on the device.
#pragma once
#include "divisor.h"
#include "gpu.h"

DEVICE uint32_t divide(uint32_t n, const firesteel::cuda::Divisor& by) {
  return (multiply_high(n, by.multiplier) + n) >> by.shift;
}
