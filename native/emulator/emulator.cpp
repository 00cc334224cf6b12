#include "emulator.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "check.h"
#include "tiles.h"

#if !defined(__x86_64__)
#error "the emulator switches fibers on x86-64 only"
#endif

// Saves what a function must keep for its caller, changes stacks, and restores. It takes about 10 ns, with the barrier
// around it; swapcontext makes two system calls.
asm(R"(
.text
.type emulator_switch,@function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch,.-emulator_switch
)");
extern "C" __attribute__((visibility("hidden"))) void emulator_switch(void** save, void* load);

namespace emulator {

thread_local Thread* self;
bool reverse = false;

namespace {

constexpr size_t page = 4096;
constexpr unsigned most_threads = 1024;
constexpr size_t stack_bytes = size_t(64) << 10;
// An odd step spreads the stacks over the sets of the cache.
constexpr size_t stack_step = stack_bytes + 5 * 64;
constexpr size_t statics_bytes = size_t(48) << 10;
// Variables lie at odd multiples of their alignment, for which they may need this much space between them.
constexpr size_t statics_room = statics_bytes + 2048;

size_t pages(size_t bytes) { return (bytes + page - 1) & ~(page - 1); }

char* map(size_t bytes, int protection) {
  void* data = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) fail("no memory for %zu bytes", bytes);
  return static_cast<char*>(data);
}

unsigned first_of(unsigned mask) {
  return static_cast<unsigned>(reverse ? 31 - __builtin_clz(mask) : __builtin_ctz(mask));
}

// The next set bit after `index`, in the order of the run, and from the end on to the beginning.
unsigned next_of(unsigned mask, unsigned index) {
  const unsigned bit = 1u << index;
  const unsigned later = reverse ? mask & (bit - 1) : mask & ~(bit | (bit - 1));
  return first_of(later ? later : mask);
}

[[noreturn]] void stuck(const Block& block) {
  int lanes = 0;
  const char* operation = "none";
  for (const Warp& warp : block.warps)
    for (const Meeting& meeting : warp.meetings) {
      if (!meeting.here) continue;
      lanes += __builtin_popcount(meeting.here);
      operation = meeting.operation;
    }
  fail(
      "deadlock: %u threads at a block barrier, %d in a warp operation (%s), "
      "%u live",
      block.arrived, lanes, operation, block.live);
}

}  // namespace

void next_fiber() {
  Thread* me = self;
  Block& block = *me->block;
  const Warp* warp = me->warp;
  if (warp->ready) {
    self = warp->threads[next_of(warp->ready, me->lane)];
  } else {
    block.ready_warps &= ~(1u << warp->index);
    while (block.live && !block.ready_warps && end_one_work()) {
    }
    if (!block.ready_warps) {
      if (block.live) stuck(block);
      check_block_work();
      return emulator_switch(&me->stack_pointer, block.scheduler);
    }
    warp = &block.warps[next_of(block.ready_warps, warp->index)];
    self = warp->threads[first_of(warp->ready)];
  }
  if (self != me) emulator_switch(&me->stack_pointer, self->stack_pointer);
}

namespace {

void release_barrier(Block& block) {
  block.arrived = 0;
  block.epoch++;
  for (Warp& warp : block.warps) {
    if (!warp.live) continue;
    warp.ready = warp.live;
    block.ready_warps |= 1u << warp.index;
  }
}

void fiber_main() {
  Thread* me = self;
  Block& block = *me->block;
  (*block.body)();
  for (const Meeting& meeting : me->warp->meetings)
    if (meeting.here && (meeting.mask & me->bit))
      fail("a thread ends while its warp waits for it in %s", meeting.operation);
  me->warp->live &= ~me->bit;
  me->warp->ready &= ~me->bit;
  // A thread that has left no longer holds up a barrier.
  if (--block.live && block.arrived == block.live) release_barrier(block);
  next_fiber();
  __builtin_unreachable();
}

char* stacks() {
  static char* base = map(stack_step * most_threads + page, PROT_READ | PROT_WRITE);
  return base;
}

void start_block(Block& block) {
  const auto count = static_cast<unsigned>(block.size.count());
  block.live = count;
  block.arrived = block.epoch = 0;
  block.votes[0] = block.votes[1] = {};
  block.variables.clear();
  block.statics_next = block.statics;
  block.statics_used = 0;
  for (unsigned i = 0; i < block.warps.size(); i++) {
    Warp& warp = block.warps[i];
    warp = {};
    warp.index = i;
    block.ready_warps |= 1u << i;
  }
  for (unsigned i = 0; i < count; i++) {
    Thread& thread = block.threads[i];
    Warp& warp = block.warps[i / 32];
    thread.index = i;
    thread.id = {i % block.size.x, i / block.size.x % block.size.y, i / block.size.x / block.size.y};
    thread.lane = i % 32;
    thread.bit = 1u << thread.lane;
    thread.warp = &warp;
    thread.block = &block;
    warp.threads[thread.lane] = &thread;
    warp.live |= thread.bit;
    warp.ready |= thread.bit;
    char* stack = stacks() + stack_step * i;
    thread.copies.clear();
    thread.groups.clear();
    thread.stack = stack;
    thread.stack_end = stack + stack_bytes;
    // The stack is as emulator_switch leaves one: six registers, the address to return to, and no address above it.
    void** top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + stack_bytes) & ~uintptr_t(15));
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(fiber_main);
    thread.stack_pointer = top - 6;
  }
  memset(block.shared, 0xff, static_cast<size_t>(block.shared_end - block.shared));
  memset(block.statics, 0xff, statics_room);
  check_block(block);
  begin_block_work();
  const Warp& warp = block.warps[first_of(block.ready_warps)];
  self = warp.threads[first_of(warp.ready)];
  emulator_switch(&block.scheduler, self->stack_pointer);
  self = nullptr;
}

}  // namespace

void fail(const char* format, ...) {
  va_list values;
  va_start(values, format);
  fputs("emulator: ", stderr);
  vfprintf(stderr, format, values);
  va_end(values);
  if (self)
    fprintf(stderr, " [block %u,%u,%u thread %u,%u,%u]", self->block->id.x, self->block->id.y, self->block->id.z,
            self->id.x, self->id.y, self->id.z);
  fputs("\n", stderr);
  _exit(3);
}

void block_barrier() {
  Block& block = *self->block;
  if (++block.arrived == block.live) return release_barrier(block);
  self->warp->ready &= ~self->bit;
  next_fiber();
}

bool block_vote(bool mine) {
  Block& block = *self->block;
  // A thread that is at a vote two epochs later has seen all threads leave this one.
  Vote& vote = block.votes[block.epoch % 2];
  if (vote.epoch != block.epoch) vote = {block.epoch, false};
  vote.result |= mine;
  block_barrier();
  return vote.result;
}

void meet(const char* operation, unsigned mask, void* mine, void (*all)(void** slots, unsigned lanes)) {
  Thread* me = self;
  Warp& warp = *me->warp;
  if (!(mask & me->bit)) fail("%s: lane %u is not in its own mask %08x", operation, me->lane, mask);
  // In a last, partial warp the mask may name all lanes, although some have never existed.
  if ((mask & ~warp.live) && mask != ~0u) fail("%s: mask %08x names lanes that have left", operation, mask);
  mask &= warp.live;
  Meeting* meeting = nullptr;
  for (Meeting& other : warp.meetings)
    if (other.here && other.mask == mask) meeting = &other;
  if (!meeting) {
    for (Meeting& other : warp.meetings)
      if (!other.here) meeting = &other;
    if (!meeting) fail("%s: too many groups of lanes in one warp", operation);
    meeting->mask = mask;
    meeting->operation = operation;
  }
  if (strcmp(meeting->operation, operation) != 0)
    fail("lanes of one warp meet in different operations: %s and %s", meeting->operation, operation);
  meeting->slots[me->lane] = mine;
  meeting->here |= me->bit;
  if (meeting->here == mask) {
    all(meeting->slots, mask);
    meeting->here = 0;
    warp.ready |= mask;
    return;
  }
  warp.ready &= ~me->bit;
  next_fiber();
}

void* shared_variable(const void* key, size_t bytes, size_t alignment) {
  Block& block = *self->block;
  for (const SharedVariable& variable : block.variables)
    if (variable.key == key) return variable.data;
  // The address is a multiple of the alignment, but not of twice the alignment.
  uintptr_t at = (reinterpret_cast<uintptr_t>(block.statics_next) + 2 * alignment - 1) & ~(2 * alignment - 1);
  at += alignment;
  char* data = reinterpret_cast<char*>(at);
  block.statics_used += bytes;
  if (block.statics_used > statics_bytes || data + bytes > block.statics_end)
    fail("more than %zu bytes of static shared memory", statics_bytes);
  block.statics_next = data + bytes;
  block.variables.push_back({key, data});
  return data;
}

void begin_copy(void* to, const void* from) {
  memset(to, 0xff, 16);
  self->copies.push_back({static_cast<char*>(to), static_cast<const char*>(from)});
}

void commit_copies() { self->groups.push_back(self->copies.size()); }

void wait_copies(size_t left) {
  Thread& me = *self;
  if (me.groups.size() <= left) return;
  const size_t groups = me.groups.size() - left, count = me.groups[groups - 1];
  for (size_t i = 0; i < count; i++) {
    const Copy& copy = me.copies[i];
    if (copy.from)
      memcpy(copy.to, copy.from, 16);
    else
      memset(copy.to, 0, 16);
    check_access(copy.to, 16, true);
  }
  me.copies.erase(me.copies.begin(), me.copies.begin() + static_cast<ptrdiff_t>(count));
  me.groups.erase(me.groups.begin(), me.groups.begin() + static_cast<ptrdiff_t>(groups));
  for (size_t& group : me.groups) group -= count;
}

void run(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()>& body) {
  const uint64_t threads = size.count();
  if (threads == 0 || threads > most_threads) fail("a block of %llu threads", static_cast<unsigned long long>(threads));
  check_launch();
  Block block;
  block.size = size;
  block.grid = grid;
  block.body = &body;
  block.threads.resize(threads);
  block.warps.resize((threads + 31) / 32);
  const size_t shared_pages = pages(shared_bytes);
  const size_t room = shared_pages + page + pages(statics_room);
  char* area = map(room, PROT_READ | PROT_WRITE);
  mprotect(area + shared_pages, page, PROT_NONE);
  block.shared_end = area + shared_pages;
  block.shared = block.shared_end - ((shared_bytes + 127) & ~size_t(127));
  block.statics = area + shared_pages + page;
  block.statics_end = area + room;
  for (uint64_t i = 0; i < grid.count(); i++) {
    block.id = {unsigned(i % grid.x), unsigned(i / grid.x % grid.y), unsigned(i / grid.x / grid.y)};
    start_block(block);
  }
  munmap(area, room);
}

}  // namespace emulator
