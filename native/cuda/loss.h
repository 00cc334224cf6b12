// The part that the launchers of losses share.
#pragma once
#include "device.h"

namespace firesteel::cuda {

// Reserves a slot for a label that is neither a class nor ignored.
LateSlot* expect_labels(Device& device, const KernelCall& call, int32_t classes, double ignore_index);

}  // namespace firesteel::cuda
