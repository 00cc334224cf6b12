// Finds the place in memory of an element that is given by its number, on the device.
#pragma once
#include "divisor.h"
#include "gpu.h"

DEVICE uint32_t divide(uint32_t n, const firesteel::cuda::Divisor& by) {
  return (multiply_high(n, by.multiplier) + n) >> by.shift;
}
