// Finds races and stray accesses of kernels. The kernels are compiled with -fsanitize=thread, and check.cpp defines the
// hooks that it calls. Three things are faults. Two threads of a block touch a byte of shared memory without a barrier
// between them, and one writes. Two blocks of a launch touch the same two bytes of global memory, and one writes. An
// access to global memory lies outside every allocation. A fault is counted, and reported once for each place. Without
// -fsanitize=thread the checks cost nothing.
#pragma once
#include <stddef.h>

namespace emulator {

struct Block;

// Called at the beginning of a launch, and of one of its blocks.
void check_launch();
void check_block(const Block& block);
// Records an access that the compiler does not report, because a wrapper of gpu.h makes it.
void check_access(const void* data, size_t bytes, bool write);
extern bool checking;
extern unsigned long faults;

}  // namespace emulator
