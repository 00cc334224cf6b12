#include "allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

namespace firesteel {
namespace {

constexpr size_t alignment = 64;
constexpr size_t huge_page = size_t(2) << 20;
constexpr size_t largest_small = size_t(2) << 20;
constexpr size_t small_slab = size_t(2) << 20;
constexpr size_t big_slab = size_t(16) << 20;
// Blocks up to this size come from slabs without huge pages: a few small tensors should not cost 2 MB a class.
constexpr size_t largest_in_small_slab = size_t(64) << 10;
constexpr size_t unused_floor = size_t(256) << 20;

// `bytes` rounded up to one of 2^steps_log2 sizes per doubling, and to the alignment.
size_t round_up(size_t bytes, int steps_log2) {
  const int top = std::bit_width(bytes) - 1;
  const size_t step = std::max(alignment, size_t(1) << std::max(0, top - steps_log2));
  return (bytes + step - 1) & ~(step - 1);
}

// Position of a small size among: 64, 128, ..., 512 by 64, then four per doubling.
size_t class_index(size_t rounded) {
  if (rounded <= 512) return rounded / alignment - 1;
  const int top = std::bit_width(rounded - 1) - 1;  // rounded lies in (2^top, 2^(top + 1)]
  const size_t step = size_t(1) << (top - 2);
  return 8 + size_t(top - 9) * 4 + (rounded - (size_t(1) << top)) / step - 1;
}

void advise_huge(void* data, size_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(data, bytes, MADV_HUGEPAGE);
#endif
}

}  // namespace

// The first 64 bytes of a slab.
struct Allocator::Slab {
  Slab* previous;
  Slab* next;
  void* free_list;
  uint32_t used;    // blocks handed out
  uint32_t carved;  // blocks ever handed out; the rest of the slab is untouched
  uint32_t capacity;
  bool listed;
};

Allocator::Allocator() {
  for (size_t bytes = alignment; bytes <= largest_small; bytes = round_up(bytes + 1, 2))
    classes_.push_back({bytes, bytes <= largest_in_small_slab ? small_slab : big_slab});
}

Allocator::~Allocator() {
  flush();
  // What is still live belongs to a queue that ends with this allocator: slabs in the lists, and large blocks. Slabs
  // without room are in no list; their blocks were released by the queue before.
  for (SizeClass& size_class : classes_)
    for (Slab* slab = size_class.partial; slab != nullptr;) {
      Slab* next = slab->next;
      unmap(slab, size_class.slab);
      slab = next;
    }
  for (const auto& [data, bytes] : large_) unmap(data, bytes);
}

void* Allocator::map(size_t bytes, size_t align) {
  const size_t room = bytes + align;
  if (room < bytes) return nullptr;
  void* start = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  const uintptr_t from = reinterpret_cast<uintptr_t>(start);
  const uintptr_t data = (from + align - 1) & ~(align - 1);
  if (data > from) munmap(start, data - from);
  if (from + room > data + bytes) munmap(reinterpret_cast<void*>(data + bytes), from + room - data - bytes);
  reserved_.fetch_add(bytes, std::memory_order_relaxed);
  return reinterpret_cast<void*>(data);
}

void Allocator::unmap(void* data, size_t bytes) {
  munmap(data, bytes);
  reserved_.fetch_sub(bytes, std::memory_order_relaxed);
}

void* Allocator::allocate(size_t bytes) {
  const bool small = bytes <= largest_small;
  if (!small && bytes > (SIZE_MAX >> 2)) return nullptr;
  const size_t block = round_up(std::max<size_t>(bytes, 1), small ? 2 : 3);
  const auto attempt = [&] { return small ? allocate_small(classes_[class_index(block)]) : allocate_large(block); };
  void* data = attempt();
  if (!data) {
    flush();
    data = attempt();
    if (!data) return nullptr;
  }
  add_live(block);
  return data;
}

void Allocator::release(void* data, size_t bytes) {
  const bool small = bytes <= largest_small;
  const size_t block = round_up(std::max<size_t>(bytes, 1), small ? 2 : 3);
  add_live(0 - block);
  if (small) return release_small(classes_[class_index(block)], data);
  const auto found = large_.find(data);
  keep(data, found->second);
  large_.erase(found);
}

void* Allocator::allocate_small(SizeClass& size_class) {
  Slab* slab = size_class.partial;
  if (!slab && !(slab = take_slab(size_class))) return nullptr;
  void* data;
  if (slab->free_list) {
    data = slab->free_list;
    slab->free_list = *static_cast<void**>(data);
  } else {
    data = reinterpret_cast<char*>(slab) + alignment + size_class.block * slab->carved++;
  }
  if (++slab->used == slab->capacity) {
    size_class.partial = slab->next;
    if (slab->next) slab->next->previous = nullptr;
    slab->listed = false;
  }
  return data;
}

void Allocator::release_small(SizeClass& size_class, void* data) {
  Slab* slab = reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(data) & ~(size_class.slab - 1));
  *static_cast<void**>(data) = slab->free_list;
  slab->free_list = data;
  slab->used--;
  if (!slab->listed) {
    slab->previous = nullptr;
    slab->next = size_class.partial;
    if (slab->next) slab->next->previous = slab;
    size_class.partial = slab;
    slab->listed = true;
  }
  // The last slab of a class stays in its list, so that one tensor made and freed in a loop stays cheap.
  if (slab->used > 0 || (!slab->previous && !slab->next)) return;
  if (slab->previous)
    slab->previous->next = slab->next;
  else
    size_class.partial = slab->next;
  if (slab->next) slab->next->previous = slab->previous;
  keep(slab, size_class.slab);
}

Allocator::Slab* Allocator::take_slab(SizeClass& size_class) {
  void* memory = nullptr;
  for (auto [it, end] = unused_.equal_range(size_class.slab); it != end; ++it) {
    if (reinterpret_cast<uintptr_t>(it->second.data) % size_class.slab != 0) continue;
    memory = it->second.data;
    unused_bytes_ -= it->first;
    unused_.erase(it);
    break;
  }
  if (!memory) {
    memory = map(size_class.slab, size_class.slab);
    if (!memory) return nullptr;
    if (size_class.slab > small_slab) advise_huge(memory, size_class.slab);
  }
  Slab* slab = static_cast<Slab*>(memory);
  *slab = {nullptr, size_class.partial, nullptr, 0, 0, 0, true};
  slab->capacity = static_cast<uint32_t>((size_class.slab - alignment) / size_class.block);
  if (slab->next) slab->next->previous = slab;
  size_class.partial = slab;
  return slab;
}

void* Allocator::allocate_large(size_t block) {
  const auto found = unused_.lower_bound(block);
  if (found != unused_.end() && found->first - found->first / 5 <= block) {
    const auto [bytes, unused] = *found;
    unused_bytes_ -= bytes;
    unused_.erase(found);
    large_.emplace(unused.data, bytes);
    return unused.data;
  }
  void* data = map(block, huge_page);
  if (!data) return nullptr;
  advise_huge(data, block);
  large_.emplace(data, block);
  return data;
}

void Allocator::keep(void* data, size_t bytes) {
  unused_.emplace(bytes, Unused{data, clock_++});
  unused_bytes_ += bytes;
  while (unused_bytes_ > std::max(unused_floor, live_bytes()))
    drop(std::min_element(unused_.begin(), unused_.end(),
                          [](const auto& a, const auto& b) { return a.second.age < b.second.age; }));
}

void Allocator::drop(UnusedMap::iterator unused) {
  unused_bytes_ -= unused->first;
  unmap(unused->second.data, unused->first);
  unused_.erase(unused);
}

void Allocator::flush() {
  while (!unused_.empty()) drop(unused_.begin());
  for (SizeClass& size_class : classes_) {
    Slab* slab = size_class.partial;
    if (!slab || slab->used > 0 || slab->next) continue;
    size_class.partial = nullptr;
    unmap(slab, size_class.slab);
  }
}

}  // namespace firesteel
