// Runs CUDA kernels on the CPU, for machines without a GPU. A C++ compiler compiles the .cu source against gpu.h. A
// block's threads are fibers of one OS thread. A fiber runs until it must wait, at a block barrier, or at a warp
// operation to which other lanes have not come. Blocks run one after the other.
//
// Faults that a GPU ignores in silence end the process here, and their place is printed. They are reads and writes
// beyond an allocation (each allocation ends at a page without access), misaligned vectors, lanes that meet in
// different operations, and deadlocks. Shared memory is full of NaN when a block begins. A library that is compiled
// with -fsanitize=thread is also checked for races (check.h).
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <vector>

// Marks what belongs to the emulator but is inlined into kernels, so that the checker does not see it.
#define EMULATOR_UNCHECKED __attribute__((no_sanitize("thread")))

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr uint64_t count() const { return uint64_t(x) * y * z; }
};

namespace emulator {

[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

struct Block;
struct Warp;

// 16 bytes on their way into shared memory; zeros if they come from null.
struct Copy {
  char* to;
  const char* from;
};

struct Thread {
  void* stack_pointer = nullptr;  // while the fiber does not run
  uint3 id;
  unsigned lane, bit, index;
  Warp* warp;
  Block* block;
  const char *stack, *stack_end;
  // The copies for which nobody has waited, in order, and the number of them that had begun when each group was
  // committed.
  std::vector<Copy> copies;
  std::vector<size_t> groups;
};

// Lanes of one warp that come together for an operation.
struct Meeting {
  unsigned mask = 0, here = 0;
  const char* operation = nullptr;
  void* slots[32];
};

struct Warp {
  unsigned ready = 0, live = 0;  // masks of lanes
  unsigned index = 0;
  unsigned epoch = 0;  // warp barriers so far; see check.cpp
  Thread* threads[32];
  Meeting meetings[4];
};

struct SharedVariable {
  const void* key;
  char* data;
};

// A vote of the threads that came to a barrier.
struct Vote {
  unsigned epoch = 0;
  bool result = false;
};

struct Block {
  uint3 id;
  dim3 size, grid;
  unsigned arrived = 0, live = 0;  // at the barrier, and in all
  unsigned epoch = 0;              // block barriers so far
  Vote votes[2];                   // by the parity of the epoch
  unsigned ready_warps = 0;        // mask of warps with a lane that can run
  std::vector<Warp> warps;
  std::vector<Thread> threads;
  const std::function<void()>* body;
  char *shared = nullptr,
       *shared_end = nullptr;  // the dynamic part, which ends at a page that nobody may touch
  char *statics = nullptr, *statics_next = nullptr, *statics_end = nullptr;
  size_t statics_used = 0;
  std::vector<SharedVariable> variables;
  void* scheduler = nullptr;  // the stack pointer of the code that started the block
};

// The fiber that runs, or null outside kernels. The pointer is in static thread-local memory, where it is found without
// a call.
extern thread_local Thread* self __attribute__((tls_model("initial-exec")));

// Runs `body` once for every thread of the grid. `reverse` takes warps and lanes from the last to the first, which
// shows whatever depends on the order of threads.
void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);
extern bool reverse;

// Continues with another fiber: one of the same warp if one can run, else one of the next warp. If none can run, some
// asynchronous work ends (tiles.h). Without any, the scheduler continues if no thread lives.
void next_fiber();
// Waits until all live threads of the block have come.
void block_barrier();
// The same. True if any of the threads brings true.
bool block_vote(bool mine);
// Waits until the lanes of `mask` are here. The last one runs `all(slots)`, which sees what every lane brought.
void meet(const char* operation, unsigned mask, void* mine, void (*all)(void** slots, unsigned lanes));
// A variable of the block in shared memory, aligned to its own alignment and no more.
void* shared_variable(const void* key, size_t bytes, size_t alignment);

// Copies 16 bytes as late as possible: when their group is waited for, from what is at the source then. Until then the
// target is NaN.
void begin_copy(void* to, const void* from);
void commit_copies();
// Finishes the committed groups, except the last `left`.
void wait_copies(size_t left);

// Device memory, or null if there is none left. It is NaN until it is written.
void* device_allocate(size_t bytes);
// False if `data` is not an allocation.
bool device_release(void* data);
size_t device_bytes_in_use();
// Whether the bytes belong to one allocation; and whether the address is one from which allocations are taken.
bool device_contains(uintptr_t address, size_t bytes);
bool device_reaches(uintptr_t address);

}  // namespace emulator
