// The sizes by which interpolation cuts its work. They stand in a header so that tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA {

// The elements read and written that are worth a chunk of their own.
constexpr int64_t resample_elements = 1 << 14;
// Fewer planes than this are cut into bands of rows, this many in all. Each band computes anew the rows between the two
// passes that it shares with its neighbours.
constexpr int64_t enough_planes = 16, enough_bands = 32;

}  // namespace firesteel::FIRESTEEL_ISA
