// A caching allocator for tensors: blocks aligned to 64 bytes from one heap of huge pages, kept for reuse.
//
// Addresses are reserved in large regions, and opened as the heap grows. It asks for huge pages, so that touching new
// memory costs one fault per 2 MB, however small the blocks are. Up to 4 KB a block comes from a slab of its size
// class, four classes per doubling. Larger blocks are cut, in steps of 1 KB, from the lowest free extent that holds
// them. Free neighbours are joined, so that reserved memory stays close to the peak of live memory. (Separate mappings
// for each block would leave memory of one size unused while another is needed, and would all begin at the same sets of
// the caches.)
//
// Freed memory is kept until it exceeds a recent peak by a margin, and a floor. Then whole pages of free extents go
// back to the system. The allocator is not thread-safe: the thread that runs kernels owns it, and other threads may
// only read the counts.
//
// The system refuses memory by killing the process, so pages are asked for before they are handed out (see memory.h).
// Nothing here throws: if the C++ heap is exhausted, allocation fails, and release may lose addresses, but no memory.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <map>
#include <mutex>
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
  void* allocate(size_t bytes) noexcept;
  // `bytes` as given to allocate().
  void release(void* data, size_t bytes) noexcept;
  // Returns all unused memory to the system.
  void flush() noexcept;

  // The bytes of the blocks handed out, and of all memory taken from the system.
  size_t live_bytes() const { return live_.load(std::memory_order_relaxed); }
  size_t reserved_bytes() const { return reserved_.load(std::memory_order_relaxed); }
  // The bytes that were granted but not yet taken, and the bytes that were taken but not yet touched, which the system
  // counts as free. Any thread may ask.
  size_t granted_bytes() const;
  size_t untouched_bytes();

 private:
  struct Slab;
  struct SizeClass {
    size_t block;             // bytes
    Slab* partial = nullptr;  // slabs with a free block
  };
  // Reserved addresses from `base` on. The first `opened` bytes may be used, and the first `used` bytes have been.
  struct Region {
    uintptr_t base;
    size_t bytes, opened, used;
    std::vector<bool> taken, untouched;  // by page: taken from the system; not known to be touched
    size_t end = 0;                      // number of pages up to the last one ever taken
  };
  using Extents = std::map<uintptr_t, size_t>;

  // The counts are atomic because other threads read them. A locked addition is not needed, because only one thread
  // writes, and it would cost as much as an allocation.
  static void add(std::atomic<size_t>& to, size_t bytes) {
    to.store(to.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  }
  void* try_allocate(size_t bytes);
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
  bool take_pages(uintptr_t start, size_t bytes);
  bool ask(size_t bytes);
  void give_pages(uintptr_t start, size_t bytes, size_t most);
  void note_peak();
  void trim(size_t keep);

  std::vector<SizeClass> classes_;
  std::vector<Region> regions_;
  Extents free_;                                    // by address
  std::set<std::pair<size_t, uintptr_t>> by_size_;  // the same extents by size
  // The most live bytes in this stretch of releases and in the one before.
  size_t peak_ = 0, peak_before_ = 0;
  unsigned releases_ = 0;
  std::atomic<size_t> live_{0}, reserved_{0};
  // The bytes that may be taken without asking, until the epoch changes.
  std::atomic<size_t> granted_{0};
  uint32_t epoch_ = 0;
  std::mutex pages_mutex_;  // guards regions_ and their pages while another thread asks which are untouched
};

}  // namespace firesteel
