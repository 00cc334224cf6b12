#include "memory.h"

#include <algorithm>
#include <bit>
#include <iterator>

namespace firesteel::cuda {
namespace {

// The alignment of the driver's own allocations.
constexpr size_t smallest = 256;
// The limit of unused memory is this, or the size of the live memory if that is larger.
constexpr size_t unused_floor = size_t(512) << 20;

size_t block_size(size_t bytes) {
  const size_t at_least = std::max(bytes, size_t(1));
  const size_t step = std::max(smallest, std::bit_floor(at_least) / 8);
  return (at_least + step - 1) / step * step;
}

}  // namespace

void Memory::release_all() {
  for (const auto& [data, block] : blocks_) driver_.cuMemFree_v2(data);
  blocks_.clear();
  unused_.clear();
  held_.clear();
  unused_bytes_ = 0;
  live_.store(0);
  reserved_.store(0);
}

void* Memory::allocate(size_t bytes) {
  failure_ = Status::success;
  if (bytes > SIZE_MAX / 4) return nullptr;
  const size_t block = block_size(bytes);
  uint64_t data = 0;
  const auto found = unused_.find(block);
  if (found != unused_.end() && !found->second.empty()) {
    data = found->second.back();
    found->second.pop_back();
    unused_bytes_ -= block;
  } else {
    Status status = driver_.cuMemAlloc_v2(&data, block);
    if (status == Status::out_of_memory && !holding_) {
      flush();
      status = driver_.cuMemAlloc_v2(&data, block);
    }
    failure_ = status == Status::out_of_memory ? Status::success : status;
    if (status != Status::success) return nullptr;
    blocks_.emplace(data, block);
    reserved_.fetch_add(block, std::memory_order_relaxed);
  }
  live_.fetch_add(block, std::memory_order_relaxed);
  if (holding_) noted_.insert(data);
  return reinterpret_cast<void*>(data);
}

void Memory::release(void* data, size_t bytes) {
  const size_t block = block_size(bytes);
  live_.fetch_sub(block, std::memory_order_relaxed);
  const auto held = held_.find(reinterpret_cast<uint64_t>(data));
  if (held != held_.end()) {
    held->second.released = true;
    return;
  }
  make_unused(reinterpret_cast<uint64_t>(data), block);
  if (unused_bytes_ > std::max(unused_floor, live_bytes())) flush();
}

void Memory::make_unused(uint64_t data, size_t block) {
  unused_[block].push_back(data);
  unused_bytes_ += block;
}

void Memory::begin_holding() { holding_ = true; }

void Memory::hold(const void* data) {
  const auto after = blocks_.upper_bound(reinterpret_cast<uint64_t>(data));
  if (after != blocks_.begin()) noted_.insert(std::prev(after)->first);
}

std::vector<uint64_t> Memory::end_holding() {
  holding_ = false;
  for (auto& [block, list] : unused_)
    std::erase_if(list, [&, block = block](uint64_t data) {
      if (!noted_.contains(data)) return false;
      held_[data].released = true;
      unused_bytes_ -= block;
      return true;
    });
  std::vector<uint64_t> blocks(noted_.begin(), noted_.end());
  for (const uint64_t data : blocks) held_[data].lists++;
  noted_.clear();
  return blocks;
}

void Memory::let_go(const std::vector<uint64_t>& blocks) {
  for (const uint64_t data : blocks) {
    const auto held = held_.find(data);
    if (held == held_.end() || --held->second.lists > 0) continue;
    if (held->second.released) make_unused(data, blocks_.at(data));
    held_.erase(held);
  }
}

void Memory::flush() {
  if (holding_) return;
  for (const auto& [block, list] : unused_)
    for (const uint64_t data : list) give_back(data, block);
  unused_.clear();
  unused_bytes_ = 0;
}

void Memory::give_back(uint64_t data, size_t block) {
  driver_.cuMemFree_v2(data);
  blocks_.erase(data);
  reserved_.fetch_sub(block, std::memory_order_relaxed);
}

}  // namespace firesteel::cuda
