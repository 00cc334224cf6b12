#include "allocator.h"

#include <algorithm>
#include <bit>
#include <new>

#include "memory.h"
#include "pages.h"

namespace firesteel {
namespace {

constexpr size_t alignment = 64;
constexpr size_t page = size_t(2) << 20;  // bytes of a huge page
constexpr size_t largest_small = 4096;
constexpr size_t slab_bytes = size_t(64) << 10;
constexpr size_t extent_step = 1024;
constexpr size_t largest_region = size_t(64) << 30;
constexpr size_t growth = size_t(32) << 20;  // bytes opened at a time
constexpr size_t unused_floor = size_t(256) << 20;
constexpr unsigned stretch = 4096;  // number of releases of extents
constexpr int most_looked_at = 128;

constexpr uintptr_t round_up(uintptr_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

// A small size, rounded up to a multiple of the alignment, and to one of four sizes per doubling.
size_t small_block(size_t bytes) {
  const int top = std::bit_width(bytes) - 1;
  return round_up(bytes, std::max(alignment, size_t(1) << std::max(0, top - 2)));
}

// The index of a small size among 64, 128, ..., 512 by 64, and then four per doubling.
size_t class_index(size_t block) {
  if (block <= 512) return block / alignment - 1;
  const int top = std::bit_width(block - 1) - 1;  // block lies in (2^top, 2^(top + 1)]
  const size_t step = size_t(1) << (top - 2);
  return 8 + size_t(top - 9) * 4 + (block - (size_t(1) << top)) / step - 1;
}

}  // namespace

// The first 64 bytes of a slab.
struct Allocator::Slab {
  Slab* previous;
  Slab* next;
  void* free_list;
  uint32_t used;    // blocks in use
  uint32_t carved;  // blocks ever handed out; memory beyond them is untouched
  uint32_t capacity;
  bool listed;
};

Allocator::Allocator() {
  for (size_t bytes = alignment; bytes <= largest_small; bytes = small_block(bytes + 1)) classes_.push_back({bytes});
  Commitments::of_process().enter(*this);
}

Allocator::~Allocator() {
  Commitments::of_process().leave(*this);
  for (const Region& region : regions_) free_addresses({region.base, region.bytes + page});
}

void* Allocator::allocate(size_t bytes) noexcept {
  if (bytes > (SIZE_MAX >> 2)) return nullptr;
  void* data = try_allocate(bytes);
  if (data || reserved_bytes() == live_bytes()) return data;
  flush();  // unused memory may only be of the wrong sizes
  return try_allocate(bytes);
}

void* Allocator::try_allocate(size_t bytes) {
  if (bytes <= largest_small) {
    const size_t block = small_block(std::max<size_t>(bytes, 1));
    void* data = allocate_small(classes_[class_index(block)]);
    if (data) add(live_, block);
    return data;
  }
  const size_t block = round_up(bytes, extent_step);
  const uintptr_t data = take_extent(block, alignment);
  if (data) add(live_, block);
  return reinterpret_cast<void*>(data);
}

void Allocator::release(void* data, size_t bytes) noexcept {
  if (bytes <= largest_small) {
    const size_t block = small_block(std::max<size_t>(bytes, 1));
    add(live_, 0 - block);
    return release_small(classes_[class_index(block)], data);
  }
  note_peak();
  const size_t block = round_up(bytes, extent_step);
  add(live_, 0 - block);
  give_extent(reinterpret_cast<uintptr_t>(data), block);
  // Gaps between blocks must not return pages that the next step would ask for again.
  const size_t recent = std::max(peak_, peak_before_), live = live_bytes();
  trim(std::max(recent + recent / 8 - live, unused_floor));
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
  Slab* slab = reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(data) & ~(slab_bytes - 1));
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
  give_extent(reinterpret_cast<uintptr_t>(slab), slab_bytes);
}

Allocator::Slab* Allocator::take_slab(SizeClass& size_class) {
  Slab* slab = reinterpret_cast<Slab*>(take_extent(slab_bytes, slab_bytes));
  if (!slab) return nullptr;
  *slab = {nullptr, size_class.partial, nullptr, 0, 0, 0, true};
  slab->capacity = static_cast<uint32_t>((slab_bytes - alignment) / size_class.block);
  if (slab->next) slab->next->previous = slab;
  size_class.partial = slab;
  return slab;
}

// Cuts a block from a free extent. The parts before and after the block stay free.
uintptr_t Allocator::take_extent(size_t bytes, size_t align) {
  const auto extent = find_extent(bytes, align);
  uintptr_t block;
  if (extent != free_.end()) {
    const auto [start, size] = *extent;
    block = round_up(start, align);
    remove(extent);
    if (block > start) insert(start, block - start);
    if (block + bytes < start + size) insert(block + bytes, start + size - block - bytes);
  } else {
    block = grow(bytes, align);
  }
  if (!block || take_pages(block, bytes)) return block;
  give_extent(block, bytes);
  return 0;
}

// The lowest extent that holds the block. Long-lived blocks then gather at the low end and the rest stays in one piece,
// whereas the smallest extent that fits would leave a crumb each time. If there are many extents, this takes the
// smallest, which is found at once.
Allocator::Extents::iterator Allocator::find_extent(size_t bytes, size_t align) {
  const auto fits = [&](uintptr_t start, size_t size) { return round_up(start, align) + bytes <= start + size; };
  auto smallest = by_size_.lower_bound({bytes, 0});
  if (smallest == by_size_.end()) return free_.end();
  int looked_at = 0;
  for (auto it = free_.begin(); it != free_.end() && looked_at < most_looked_at; ++it, looked_at++)
    if (fits(it->first, it->second)) return it;
  for (; smallest != by_size_.end(); ++smallest)
    if (fits(smallest->second, smallest->first)) return free_.find(smallest->second);
  return free_.end();
}

void Allocator::give_extent(uintptr_t start, size_t bytes) {
  auto next = free_.lower_bound(start);
  if (next != free_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == start) {
      start = previous->first;
      bytes += previous->second;
      remove(previous);
    }
  }
  if (next != free_.end() && start + bytes == next->first) {
    bytes += next->second;
    remove(next);
  }
  insert(start, bytes);
}

// If there is no memory for the bookkeeping, the addresses are never used again.
void Allocator::insert(uintptr_t start, size_t bytes) {
  try {
    const auto extent = free_.emplace(start, bytes).first;
    try {
      by_size_.emplace(bytes, start);
    } catch (const std::bad_alloc&) {
      free_.erase(extent);
      throw;
    }
  } catch (const std::bad_alloc&) {
    give_pages(start, bytes, bytes);
  }
}

Allocator::Extents::iterator Allocator::remove(Extents::iterator extent) {
  by_size_.erase({extent->second, extent->first});
  return free_.erase(extent);
}

// A block at the end of the used part of the last region. It begins in the free extent there, if there is one.
uintptr_t Allocator::grow(size_t bytes, size_t align) {
  for (int attempt = 0; attempt < 2; attempt++) {
    if (!regions_.empty()) {
      Region& region = regions_.back();
      const uintptr_t end = region.base + region.used;
      uintptr_t start = end;
      const auto last = free_.empty() ? free_.end() : std::prev(free_.end());
      // A newer region may lie below an older one. The last extent then belongs to another region.
      const bool joins = last != free_.end() && last->first + last->second == end;
      if (joins) start = last->first;
      const uintptr_t block = round_up(start, align);
      const size_t used = block + bytes - region.base;
      if (used <= region.bytes) {
        if (used > region.opened) {
          const size_t opened = std::min(region.bytes, round_up(used, growth));
          void* const from = reinterpret_cast<void*>(region.base + region.opened);
          if (!open_addresses(from, opened - region.opened)) return 0;
          region.opened = opened;
        }
        if (joins) remove(last);
        if (block > start) insert(start, block - start);
        region.used = used;
        return block;
      }
    }
    if (!reserve_region(bytes + align)) return 0;
  }
  return 0;
}

// Reserves addresses without taking memory. Tries half as many whenever the system has too few. If the process is
// limited, this takes at most a quarter, because others need some too.
bool Allocator::reserve_region(size_t bytes) {
  const size_t least = round_up(bytes, page) + 2 * page;
  size_t most = largest_region;
  for (const size_t limit = most_addresses(); most > limit / 4;) most /= 2;
  for (size_t room = std::max(most, least); room >= least; room /= 2) {
    const Addresses whole = reserve_addresses(room, page);
    if (whole.bytes == 0) continue;
    const size_t pages = whole.bytes / page;
    try {
      std::lock_guard<std::mutex> lock(pages_mutex_);
      // The last page is never used, so that extents of two regions never join.
      regions_.push_back({whole.base, whole.bytes - page, 0, 0, std::vector<bool>(pages), std::vector<bool>(pages)});
    } catch (const std::bad_alloc&) {
      free_addresses(whole);
      return false;
    }
    return true;
  }
  return false;
}

Allocator::Region& Allocator::region_of(uintptr_t address) {
  for (size_t i = regions_.size(); i-- > 1;)
    if (address >= regions_[i].base && address < regions_[i].base + regions_[i].bytes) return regions_[i];
  return regions_.front();
}

// Returns false, having taken nothing, if the system has too few pages.
bool Allocator::take_pages(uintptr_t start, size_t bytes) {
  Region& region = region_of(start);
  const size_t first = (start - region.base) / page, last = (start + bytes - 1 - region.base) / page;
  size_t fresh = 0;
  for (size_t i = first; i <= last; i++) fresh += region.taken[i] ? 0 : page;
  if (fresh == 0) return true;
  if (!ask(fresh)) return false;
  if (!take_memory(reinterpret_cast<void*>(region.base + first * page), (last + 1 - first) * page)) {
    granted_.store(reserved_bytes(), std::memory_order_relaxed);
    return false;
  }
  std::lock_guard<std::mutex> lock(pages_mutex_);
  for (size_t i = first; i <= last; i++)
    if (!region.taken[i]) region.taken[i] = region.untouched[i] = true;
  region.end = std::max(region.end, last + 1);
  add(reserved_, fresh);
  return true;
}

bool Allocator::ask(size_t bytes) {
  Commitments& commitments = Commitments::of_process();
  const size_t reserved = reserved_bytes();
  const uint32_t epoch = commitments.epoch();
  if (epoch == epoch_ && reserved + bytes <= granted_.load(std::memory_order_relaxed)) return true;
  try {
    const size_t granted = commitments.grant(*this, reserved, bytes);
    if (granted == 0) return false;
    granted_.store(granted, std::memory_order_relaxed);
    epoch_ = epoch;
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

size_t Allocator::granted_bytes() const {
  const size_t granted = granted_.load(std::memory_order_relaxed), reserved = reserved_bytes();
  return granted > reserved ? granted - reserved : 0;
}

size_t Allocator::untouched_bytes() {
  size_t untouched[most_pieces];
  size_t total = 0;
  std::lock_guard<std::mutex> lock(pages_mutex_);
  for (Region& region : regions_) {
    for (size_t i = 0; i < region.end;) {
      if (!region.untouched[i]) {
        i++;
        continue;
      }
      size_t count = 1;
      while (count < most_pieces && i + count < region.end && region.untouched[i + count]) count++;
      count_untouched(reinterpret_cast<void*>(region.base + i * page), page, count, untouched);
      for (size_t k = 0; k < count; k++) {
        if (untouched[k] == 0) region.untouched[i + k] = false;
        total += untouched[k];
      }
      i += count;
    }
  }
  return total;
}

// Returns about `most` bytes of whole pages within a free extent, the last pages first.
void Allocator::give_pages(uintptr_t start, size_t bytes, size_t most) {
  Region& region = region_of(start);
  const size_t last = start + bytes - region.base, first = round_up(start - region.base, page) / page;
  size_t end = (last == region.used ? round_up(last, page) : last) / page;
  if (end <= first) return;
  std::lock_guard<std::mutex> lock(pages_mutex_);
  for (size_t given = 0; end > first && given < most; end--) {
    size_t from = end;
    for (; from > first && region.taken[from - 1] && given < most; given += page) {
      from--;
      region.taken[from] = region.untouched[from] = false;
    }
    if (from == end) continue;
    return_memory(reinterpret_cast<void*>(region.base + from * page), (end - from) * page);
    const size_t bytes_given = (end - from) * page;
    add(reserved_, 0 - bytes_given);
    // Other processes may take these pages now, so they must be asked for again.
    const size_t granted = granted_.load(std::memory_order_relaxed);
    granted_.store(granted > bytes_given ? granted - bytes_given : 0, std::memory_order_relaxed);
    end = from + 1;
  }
}

void Allocator::note_peak() {
  peak_ = std::max(peak_, live_bytes());
  if (++releases_ < stretch) return;
  releases_ = 0;
  peak_before_ = peak_;
  peak_ = live_bytes();
}

// Returns pages, starting with the largest extents, until at most `keep` bytes are unused.
void Allocator::trim(size_t keep) {
  const auto excess = [&] {
    const size_t unused = reserved_bytes() - live_bytes();
    return unused > keep ? unused - keep : 0;
  };
  for (auto it = by_size_.rbegin(); it != by_size_.rend() && it->first >= page && excess() > 0; ++it)
    give_pages(it->second, it->first, excess());
  // The last extent of a region also has the rest of its page.
  if (excess() > 0 && !free_.empty())
    give_pages(std::prev(free_.end())->first, std::prev(free_.end())->second, excess());
}

void Allocator::flush() noexcept {
  for (SizeClass& size_class : classes_) {
    Slab* slab = size_class.partial;
    if (!slab || slab->used > 0 || slab->next) continue;
    size_class.partial = nullptr;
    give_extent(reinterpret_cast<uintptr_t>(slab), slab_bytes);
  }
  trim(0);
}

}  // namespace firesteel
