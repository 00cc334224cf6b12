// Copies between views of one shape, which convert where the dtypes differ. False after Device::fail.
#pragma once
#include "device.h"

namespace firesteel::cuda {

bool copy(Device& device, const View& to, const View& from);
// The same where either is blocks.
bool copy_blocks(Device& device, const View& to, const View& from);

}  // namespace firesteel::cuda
