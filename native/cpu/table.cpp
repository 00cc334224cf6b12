// The kernels of one instruction set, in the form in which the queue finds them.
#include "../generated/kernel_table.h"
