// A caching allocator for tensors: blocks aligned to 64 bytes from one heap of huge pages, kept for reuse.
//
// Addresses are reserved in large regions, and opened as the heap grows; huge pages are asked for, so that touching new
// memory costs one fault per 2 MB, however small the blocks are. Up to 4 KB a block comes from a slab of its size
// class, four classes per doubling. Larger blocks are extents, in steps of 1 KB, of the lowest free extent that holds
// them; free neighbours are joined, so that what is reserved stays close to the peak of what is live. (Separate
// mappings for each block would have left memory of one size unused while another was asked for, and would all have
// begun at the same sets of the caches.)
//
// Freed memory stays until there is more than a recent peak took, with a margin (and a floor); then whole pages of free
// extents go back to the system. Not thread-safe: whoever runs kernels owns it; only the counts may be read elsewhere.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <map>
#include <set>
#include <vector>

namespace firesteel {

class Allocator {
 public:
  Allocator();
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Uninitialised memory, or null if the system gives none. 0 bytes are a valid block.
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
    Slab* partial = nullptr;  // slabs with room
  };
  // Addresses from `base` on; `opened` bytes of them may be used, `used` bytes have been.
  struct Region {
    uintptr_t base;
    size_t bytes, opened, used;
    std::vector<bool> taken;  // by page: taken from the system
  };
  using Extents = std::map<uintptr_t, size_t>;

  // Atomic for those who only read: there is one writer at a time, and a locked addition costs as much as an
  // allocation.
  static void add(std::atomic<size_t>& to, size_t bytes) {
    to.store(to.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  }
  void* allocate_small(SizeClass& size_class);
  void release_small(SizeClass& size_class, void* data);
  Slab* take_slab(SizeClass& size_class);

  uintptr_t take_extent(size_t bytes, size_t alignment);
  Extents::iterator find_extent(size_t bytes, size_t alignment);
  void give_extent(uintptr_t start, size_t bytes);
  void insert(uintptr_t start, size_t bytes);
  Extents::iterator remove(Extents::iterator extent);
  uintptr_t grow(size_t bytes, size_t alignment);
  bool reserve_region(size_t bytes);
  Region& region_of(uintptr_t address);
  void take_pages(uintptr_t start, size_t bytes);
  void give_pages(uintptr_t start, size_t bytes, size_t most);
  void note_peak();
  void trim(size_t keep);

  std::vector<SizeClass> classes_;
  std::vector<Region> regions_;
  Extents free_;                                    // by address
  std::set<std::pair<size_t, uintptr_t>> by_size_;  // the same
  // The most that was live in this stretch of releases and in the one before.
  size_t peak_ = 0, peak_before_ = 0;
  unsigned releases_ = 0;
  std::atomic<size_t> live_{0}, reserved_{0};
};

}  // namespace firesteel
