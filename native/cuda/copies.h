// Copies between views of one shape, which convert if the dtypes differ. They return false after Device::fail.
#pragma once
#include "device.h"

namespace firesteel::cuda {

bool copy(Device& device, const View& to, const View& from);
// The same if either view is of a block dtype.
bool copy_blocks(Device& device, const View& to, const View& from);

}  // namespace firesteel::cuda
