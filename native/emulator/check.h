// Finds races and stray accesses of kernels compiled with -fsanitize=thread,
// whose hooks are ours (check.cpp): two threads of a block that touch a byte of
// shared memory without a barrier between, one of them writing; two blocks of a
// launch that touch the same two bytes of global memory, one of them writing;
// and global accesses outside of every allocation. A fault is counted and told
// once per place. Without the hooks nothing of this costs anything.
#pragma once
#include <stddef.h>

namespace emulator {

struct Block;

// A launch, or one of its blocks, begins.
void check_launch();
void check_block(const Block& block);
// An access that the compiler does not report: by a wrapper of gpu.h.
void check_access(const void* data, size_t bytes, bool write);
extern bool checking;
extern unsigned long faults;

}  // namespace emulator
