// Matrix products for kernels that consist of them.
#pragma once
#include "device.h"

namespace firesteel::cuda {

// out = a b (+ bias), or out += a b; shapes, strides and dtypes as the table's matmul has them. False after
// Device::fail.
bool multiply(Device& device, const View& out, const View& a, const View& b, const View* bias, bool accumulates);

}  // namespace firesteel::cuda
