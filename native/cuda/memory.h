// Device memory, kept for reuse. Blocks have eight sizes per doubling. A freed block serves the next request of its
// size, which needs no waiting, because all work on it is in one stream. Not thread-safe, except for the counts.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <map>
#include <set>
#include <vector>

#include "driver.h"

namespace firesteel::cuda {

class Memory {
 public:
  explicit Memory(const Driver& driver) : driver_(driver) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Null if the driver has no memory even after a flush. 0 bytes are a valid request.
  void* allocate(size_t bytes);
  // The driver's answer to the last allocation if it failed for any reason but full memory.
  Status failure() const { return failure_; }
  // `bytes` must be those given to allocate.
  void release(void* data, size_t bytes);
  // Returns unused blocks to the driver, which waits for the device.
  void flush();
  // Frees all blocks, live ones too. The device must be idle.
  void release_all();

  // From now on, notes each block that is allocated, and each that hold() names by an address within it. Meanwhile,
  // nothing is returned to the driver.
  void begin_holding();
  void hold(const void* data);
  // Ends this, and returns the noted blocks. Nobody else gets a block until let_go() has been called for every list
  // that has it.
  std::vector<uint64_t> end_holding();
  void let_go(const std::vector<uint64_t>& blocks);

  size_t live_bytes() const { return live_.load(std::memory_order_relaxed); }
  size_t reserved_bytes() const { return reserved_.load(std::memory_order_relaxed); }

 private:
  void give_back(uint64_t data, size_t block);
  void make_unused(uint64_t data, size_t block);

  // A block that lists hold, and whether it would be unused without them.
  struct Held {
    int lists = 0;
    bool released = false;
  };

  const Driver& driver_;
  std::map<size_t, std::vector<uint64_t>> unused_;  // by size of block
  std::map<uint64_t, size_t> blocks_;               // all blocks from the driver
  size_t unused_bytes_ = 0;
  bool holding_ = false;
  std::set<uint64_t> noted_;
  std::map<uint64_t, Held> held_;
  Status failure_ = Status::success;
  std::atomic<size_t> live_{0}, reserved_{0};
};

}  // namespace firesteel::cuda
