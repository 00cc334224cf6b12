// The headers that nearly every kernel file includes. Every file reads them first, so that they can be precompiled
// (scripts/precompile.sh): the intrinsics alone are 40,000 lines, which are half of the time that a small file takes to
// compile. A file still includes what it uses, because the build by CMake has no prefix.
#include "../generated/kernels.h"
#include "elementwise/driver.h"
#include "simd/math.h"
