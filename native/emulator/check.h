// Finds races and stray accesses of kernels that are compiled with -fsanitize=thread, whose hooks are ours (check.cpp):
// two threads of a block that touch a byte of shared memory without a barrier between them, if one writes; two blocks
// of a launch that touch the same two bytes of global memory, if one writes; and global accesses outside every
// allocation. A fault is counted, and reported once for each place. Without the hooks nothing of this costs anything.
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
