// A caching allocator for tensors: blocks aligned to 64 bytes, taken from the system in huge pages and kept for reuse.
//
// Up to 2 MB a block comes from a slab: an aligned region of 2 or 16 MB that is cut into blocks of one size class, four
// classes per doubling. A larger block is a mapping of its own, with eight classes per doubling, and may serve a
// request of up to a quarter less. Freed slabs and blocks stay mapped until they exceed what is live (and a floor),
// then the longest unused go first. Not thread-safe: whoever runs kernels owns it; only the counts may be read
// elsewhere.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <map>
#include <unordered_map>
#include <vector>

namespace firesteel {

class Allocator {
 public:
  Allocator();
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Uninitialised memory, or null if the system gives none even after all caches are flushed. 0 bytes are a valid
  // block.
  void* allocate(size_t bytes);
  // `bytes` as in allocate.
  void release(void* data, size_t bytes);
  // Gives all unused memory back to the system.
  void flush();

  // Bytes of the blocks handed out, and of all memory taken from the system.
  size_t live_bytes() const { return live_.load(std::memory_order_relaxed); }
  size_t reserved_bytes() const { return reserved_.load(std::memory_order_relaxed); }

 private:
  struct Slab;
  struct SizeClass {
    size_t block;             // bytes
    size_t slab;              // bytes of the slabs it is cut from
    Slab* partial = nullptr;  // slabs with room
  };
  struct Unused {
    void* data;
    uint64_t age;  // when it was freed
  };
  using UnusedMap = std::multimap<size_t, Unused>;  // by bytes

  // Atomic for those who only read: there is one writer at a time, and a locked addition costs as much as an
  // allocation.
  void add_live(size_t bytes) { live_.store(live_bytes() + bytes, std::memory_order_relaxed); }
  void* map(size_t bytes, size_t alignment);
  void unmap(void* data, size_t bytes);
  void* allocate_small(SizeClass& size_class);
  void release_small(SizeClass& size_class, void* data);
  void* allocate_large(size_t block);
  Slab* take_slab(SizeClass& size_class);
  void keep(void* data, size_t bytes);
  void drop(UnusedMap::iterator unused);

  std::vector<SizeClass> classes_;
  UnusedMap unused_;  // empty slabs and large blocks
  size_t unused_bytes_ = 0;
  uint64_t clock_ = 0;
  std::unordered_map<void*, size_t> large_;  // live large blocks and their true sizes
  std::atomic<size_t> live_{0}, reserved_{0};
};

}  // namespace firesteel
