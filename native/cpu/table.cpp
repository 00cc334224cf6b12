// The kernels of one instruction set, as the queue finds them.
#define FIRESTEEL_TABLE
#include "../generated/kernels.h"
