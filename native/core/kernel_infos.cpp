#include "kernel_infos.h"

#include "../generated/kernel_infos.h"

namespace firesteel {

constinit const std::span<const KernelInfo> kernel_rows{kernel_infos};

}  // namespace firesteel
