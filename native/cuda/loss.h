// What the launchers of losses share.
#pragma once
#include "device.h"

namespace firesteel::cuda {

// The slot for a label that is neither a class nor ignored.
LateSlot* expect_labels(Device& device, const KernelCall& call, int32_t classes, double ignore_index);

}  // namespace firesteel::cuda
