// The headers that nearly every kernel file includes, read first by each so that it can be precompiled
// (scripts/precompile.sh): the intrinsics alone are 40,000 lines, half of what a small file takes to compile. A file
// still includes what it uses, because other builds have no prefix.
#include "../generated/kernels.h"
#include "elementwise/driver.h"
#include "simd/math.h"
