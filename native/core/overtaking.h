// Brief work that need not wait for its turn: kernels and small uploads whose memory no queued entry still has to
// touch. The producer runs them at once, on its own thread, so that a prediction does not wait for the steps of a
// training beside it. Work that depends on queued entries waits among them, so results are those of one order.
//
// The results have their own memory, which only the producer takes and gives back. It gives back memory that the
// program has released once no queued entry touches it. There is little of this memory, because it is taken before
// memory that the program has freed becomes free in the queue.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <vector>

#include "call.h"
#include "context.h"

namespace firesteel {

// Whether a thread runs the kernel in a fraction of a millisecond, and whether it reads any tensor.
bool is_brief(const Call& call);

class Overtaking {
 public:
  // The most bytes that may be held here: half of the least reserve (see MemoryLimits).
  static constexpr size_t most_bytes = size_t(8) << 20;
  static constexpr size_t most_storages = 1024;
  static constexpr size_t most_uploaded = size_t(64) << 10;

  // The memory of a handle here, or null, with the numbers of the last queue entries that write it and that touch it.
  struct Row {
    void* data = nullptr;
    size_t bytes = 0;
    uint64_t written = 0, touched = 0;
  };

  // Makes room for handles below `capacity`.
  void reserve(size_t capacity) {
    if (capacity > rows_.size()) rows_.resize(capacity);
  }
  Row& operator[](int32_t handle) { return rows_[static_cast<size_t>(handle)]; }
  // Whether any memory is held, so that places may have to be resolved.
  bool holds() const { return count_ > 0; }

  // Whether every entry that writes the memory is among the first `done` entries, and every one that touches it if the
  // caller will write.
  bool is_ready(int32_t handle, bool written, uint64_t done) {
    const Row& row = (*this)[handle];
    return (written ? row.touched : row.written) <= done;
  }
  // Notes that the entry with number `entry`, counted from 1, touches the memory.
  void note(int32_t handle, bool written, uint64_t entry) {
    Row& row = (*this)[handle];
    row.touched = entry;
    if (written) row.written = entry;
  }

  // Memory for a handle that has none. Returns null if the limit is reached or memory is exhausted. Throws nothing.
  void* take(int32_t handle, size_t bytes, uint64_t done) noexcept;
  // Gives the memory back, at once or after its last entry has run.
  void release(int32_t handle, uint64_t done) noexcept;
  // Gives back the memory whose last entry has run.
  void collect(uint64_t done) noexcept;

  // The context of kernels that overtake, which has one thread and records errors in `errors_of`. Null if there is no
  // memory for it.
  Context* open(Context& errors_of) noexcept;
  size_t live_bytes() const { return context_ ? context_->allocator.live_bytes() : 0; }
  size_t reserved_bytes() const { return context_ ? context_->allocator.reserved_bytes() : 0; }
  void flush() {
    if (context_) context_->allocator.flush();
  }

 private:
  struct Leaving {
    void* data;
    size_t bytes;
    uint64_t touched;
  };
  std::vector<Row> rows_;
  std::vector<Leaving> leaving_;
  size_t bytes_ = 0, count_ = 0;  // held, including what waits to be given back
  std::unique_ptr<Context> context_;
};

}  // namespace firesteel
