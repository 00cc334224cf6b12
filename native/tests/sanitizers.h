// The sanitizer that watches the kernels of this program, if any. The tests are compiled without one
// (scripts/native-tests.sh), so a test learns of it when the program is linked.
#pragma once
#include <stddef.h>

extern "C" {
__attribute__((weak)) void __asan_init();
__attribute__((weak)) void __tsan_init();
}

namespace firesteel::test {

// A test's own guards round the memory of a tensor. AddressSanitizer has better ones, which see reads too.
inline size_t guards(size_t count) { return __asan_init ? 0 : count; }

// The threads with which a test runs a kernel, from `least_threads` on. Under ThreadSanitizer a single run with the
// most threads shows the races. Other builds check that bits do not depend on the number of threads.
inline const int least_threads = __tsan_init ? 3 : 1;

}  // namespace firesteel::test
