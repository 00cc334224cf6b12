// The emulator's device memory. Every allocation ends at a page that nobody may touch.
#include <string.h>
#include <sys/mman.h>

#include <map>
#include <mutex>

#include "emulator.h"

namespace emulator {
namespace {

constexpr size_t page = 4096;
// The alignment that cuMemAlloc promises.
constexpr size_t alignment = 256;
constexpr size_t arena_bytes = size_t(1) << 40;

struct Heap {
  std::mutex mutex;
  std::map<uintptr_t, size_t> live;
  char* arena = nullptr;
  size_t used = 0;  // of the arena; addresses are never used again, so that a
                    // stale pointer stays one
  size_t bytes = 0;
};

// The heap is never destroyed, because other threads may still run when the process ends.
Heap& heap() {
  static Heap* heap = new Heap;
  return *heap;
}

}  // namespace

void* device_allocate(size_t bytes) {
  Heap& h = heap();
  std::lock_guard<std::mutex> lock(h.mutex);
  if (!h.arena) {
    void* arena = mmap(nullptr, arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) return nullptr;
    h.arena = static_cast<char*>(arena);
  }
  const size_t pages = (bytes + page - 1) & ~(page - 1);
  if (pages < bytes || pages + page > arena_bytes - h.used) return nullptr;
  char* start = h.arena + h.used + page;
  if (mprotect(start, pages, PROT_READ | PROT_WRITE) != 0) return nullptr;
  h.used += pages + page;
  char* data = start + ((pages - bytes) & ~(alignment - 1));
  memset(data, 0xff, bytes);
  h.live.emplace(reinterpret_cast<uintptr_t>(data), bytes);
  h.bytes += bytes;
  return data;
}

bool device_release(void* data) {
  Heap& h = heap();
  std::lock_guard<std::mutex> lock(h.mutex);
  const auto found = h.live.find(reinterpret_cast<uintptr_t>(data));
  if (found == h.live.end()) return false;
  char* start = reinterpret_cast<char*>(found->first & ~(page - 1));
  const size_t room = (found->first + found->second + page - 1 - reinterpret_cast<uintptr_t>(start)) & ~(page - 1);
  madvise(start, room, MADV_DONTNEED);
  mprotect(start, room, PROT_NONE);
  h.bytes -= found->second;
  h.live.erase(found);
  return true;
}

size_t device_bytes_in_use() {
  std::lock_guard<std::mutex> lock(heap().mutex);
  return heap().bytes;
}

bool device_reaches(uintptr_t address) {
  const Heap& h = heap();
  // The page behind the last allocation belongs to it.
  return h.arena && address - reinterpret_cast<uintptr_t>(h.arena) < h.used + page;
}

bool device_contains(uintptr_t address, size_t bytes) {
  Heap& h = heap();
  std::lock_guard<std::mutex> lock(h.mutex);
  auto found = h.live.upper_bound(address);
  return found != h.live.begin() && (--found, address + bytes <= found->first + found->second);
}

}  // namespace emulator
