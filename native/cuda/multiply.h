// Matrix products, for kernels that are made of them.
#pragma once
#include <algorithm>
#include <initializer_list>

#include "device.h"
#include "product.h"

namespace firesteel::cuda {

// out = a b (+ bias), or out += a b. Shapes, strides and dtypes are those of matmul in the table. Returns false after
// Device::fail.
bool multiply(Device& device, const View& out, const View& a, const View& b, const View* bias, bool accumulates,
              const Live& live = {});

inline View view_of(void* data, std::initializer_list<int64_t> sizes, std::initializer_list<int64_t> strides,
                    DType dtype = DType::float32) {
  View view = {data, dtype, static_cast<int>(sizes.size()), 1, {}, {}};
  std::copy(sizes.begin(), sizes.end(), view.sizes);
  std::copy(strides.begin(), strides.end(), view.strides);
  for (const int64_t size : sizes) view.count *= size;
  return view;
}

}  // namespace firesteel::cuda
