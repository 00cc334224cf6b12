// The rows of the table of kernels; a kernel's number is its place.
#pragma once
#include <span>

#include "call.h"

namespace firesteel {

extern const std::span<const KernelInfo> kernel_rows;

}  // namespace firesteel
