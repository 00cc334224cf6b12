#include "check.h"

#include <dlfcn.h>
#include <stdio.h>

#include <set>
#include <unordered_map>
#include <utility>

#include "emulator.h"

namespace emulator {

bool checking = false;
unsigned long faults = 0;

namespace {

// An access: its time and its thread. It is ordered before later accesses of the same thread. It is also ordered before
// accesses of its warp behind a later warp barrier, and before those of its block behind a later block barrier.
// Shuffles do not order memory, as on a GPU.
struct Access {
  const void* where = nullptr;  // null: none
  unsigned thread = 0, block_epoch = 0, warp_epoch = 0;
};

bool before(const Access& access, const Thread& now) {
  if (!access.where || access.thread == now.index) return true;
  if (access.block_epoch != now.block->epoch) return true;
  return access.thread / 32 == now.index / 32 && access.warp_epoch != now.warp->epoch;
}

struct Cell {
  Access write;
  Access reads[2];  // the last one, and the last one of another thread before it
};

// Two bytes of global memory (only bytes are smaller elements), in the launch that touched them last.
struct Half {
  unsigned long launch = 0;
  uint64_t block = 0;
  bool written = false, shared = false;
  const void* where = nullptr;
};
struct Word {
  Half halves[2];
};

std::unordered_map<uintptr_t, Cell> cells;  // of the block's shared memory, by byte
std::unordered_map<uintptr_t, Word> words;
unsigned long launches = 0;
std::set<std::pair<const void*, const void*>> told;

// An offset in the form that addr2line takes.
uintptr_t offset(const void* where) {
  Dl_info info;
  const uintptr_t address = reinterpret_cast<uintptr_t>(where);
  return dladdr(where, &info) ? address - reinterpret_cast<uintptr_t>(info.dli_fbase) : address;
}

void report(const char* what, unsigned long other, const void* other_where, const void* where) {
  faults++;
  if (!told.insert({other_where, where}).second) return;
  fprintf(stderr, "emulator: %s: %lu at +0x%zx, then block %u,%u,%u thread %u at +0x%zx\n", what, other,
          offset(other_where), self->block->id.x, self->block->id.y, self->block->id.z, self->index, offset(where));
}

void check_shared(uintptr_t address, size_t bytes, bool write, const void* where) {
  const Thread& me = *self;
  const Access now = {where, me.index, me.block->epoch, me.warp->epoch};
  for (uintptr_t at = address; at < address + bytes; at++) {
    Cell& cell = cells[at];
    if (!before(cell.write, me))
      report(write ? "shared memory is written twice, by threads" : "shared memory is written, then read, by threads",
             cell.write.thread, cell.write.where, where);
    if (write) {
      for (const Access& read : cell.reads)
        if (!before(read, me))
          report("shared memory is read, then written, by threads", read.thread, read.where, where);
      cell = {now, {}};
    } else {
      if (cell.reads[0].thread != me.index) cell.reads[1] = cell.reads[0];
      cell.reads[0] = now;
    }
  }
}

void check_global(uintptr_t address, size_t bytes, bool write, const void* where) {
  if (!device_contains(address, bytes))
    fail("%s of %zu bytes outside of every allocation at +0x%zx", write ? "a write" : "a read", bytes, offset(where));
  const Block& block = *self->block;
  const uint64_t id = block.id.x + uint64_t(block.grid.x) * (block.id.y + uint64_t(block.grid.y) * block.id.z);
  const auto touch = [&](Half& half) {
    if (half.launch != launches) half = {launches, id, false, false, where};
    const bool other = half.block != id;
    if (other ? write || half.written : write && half.shared)
      report("global memory is touched by two blocks, one of them writing", half.block, half.where, where);
    half.shared |= other;
    if (write) {
      half.written = true;
      half.block = id;
      half.where = where;
    }
  };
  for (uintptr_t at = address / 4; at <= (address + bytes - 1) / 4; at++) {
    Word& word = words[at];
    for (uintptr_t half = 0; half < 2; half++)
      if (4 * at + 2 * half < address + bytes && 4 * at + 2 * half + 2 > address) touch(word.halves[half]);
  }
}

void access(const void* data, size_t bytes, bool write, const void* where) {
  if (!checking || !self) return;
  const uintptr_t address = reinterpret_cast<uintptr_t>(data);
  const char* at = static_cast<const char*>(data);
  const Block& block = *self->block;
  if (at >= self->stack && at < self->stack_end) return;
  const bool dynamic = at >= block.shared && at < block.shared_end;
  if (dynamic || (at >= block.statics && at < block.statics_end)) return check_shared(address, bytes, write, where);
  if (device_reaches(address)) check_global(address, bytes, write, where);
}

}  // namespace

void check_launch() { launches++; }
void check_block(const Block&) { cells.clear(); }
void check_access(const void* data, size_t bytes, bool write) {
  access(data, bytes, write, __builtin_return_address(0));
}

}  // namespace emulator

// The functions that the compiler calls at each access of a file that it compiles with -fsanitize=thread.
#define HOOK(type, write)                                                      \
  void __tsan_##type(void* data, long bytes) {                                 \
    emulator::access(data, size_t(bytes), write, __builtin_return_address(0)); \
  }
#define HOOKS(n)                                                                                               \
  void __tsan_read##n(void* data) { emulator::access(data, n, false, __builtin_return_address(0)); }           \
  void __tsan_write##n(void* data) { emulator::access(data, n, true, __builtin_return_address(0)); }           \
  void __tsan_unaligned_read##n(void* data) { emulator::access(data, n, false, __builtin_return_address(0)); } \
  void __tsan_unaligned_write##n(void* data) { emulator::access(data, n, true, __builtin_return_address(0)); }

extern "C" {
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
HOOK(read_range, false)
HOOK(write_range, true)
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}
