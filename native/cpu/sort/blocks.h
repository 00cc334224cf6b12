// The sizes by which sorting cuts its work. They stand in a header so that tests find them.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA {

// Elements that one thread sorts, or values that it looks up, before another thread is woken.
constexpr int64_t sorted_chunk = 4096;
// The most keys that are sorted by insertion. More keys are sorted by their digits.
constexpr int64_t insertion_most = 48;
// The least number of candidates that are kept in the search for the first few of a line.
constexpr int64_t least_candidates = 1024;

}  // namespace firesteel::FIRESTEEL_ISA
