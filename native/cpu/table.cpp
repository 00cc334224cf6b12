// The kernels of one instruction set, as the queue finds them.
#include "../generated/kernel_table.h"
