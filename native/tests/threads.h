// The threads with which a test runs a kernel: from `least_threads` on.
#pragma once

namespace firesteel::test {

// Where ThreadSanitizer watches (scripts/sanitize.sh), one run with the most threads shows the races. That bits depend
// on no number of threads is held elsewhere.
#if defined(FIRESTEEL_WATCHED_THREADS)
constexpr int least_threads = 3;
#else
constexpr int least_threads = 1;
#endif

}  // namespace firesteel::test
