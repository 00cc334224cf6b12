// The rows of the table of kernels. A kernel's number is its index here.
#pragma once
#include <span>

#include "call.h"

namespace firesteel {

extern const std::span<const KernelInfo> kernel_rows;

}  // namespace firesteel
