// Brief work that need not wait for its turn: kernels, and small uploads, whose memory no entry of the queue has still
// to touch. The producer runs them at once, on its own thread, so that a prediction beside a training does not wait for
// the training's steps. What depends on other entries waits among them, in order; so results are those of one order.
//
// The results have memory of their own, which only the producer takes and gives back. It gives back what the program
// releases once no entry of the queue touches it. This memory is little, because it is taken before memory that the
// program has freed comes free in the queue.
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
  // The bytes that may be held here, which is half of the least reserve (see MemoryLimits).
  static constexpr size_t most_bytes = size_t(8) << 20;
  static constexpr size_t most_storages = 1024;
  static constexpr size_t most_uploaded = size_t(64) << 10;

  // Where memory of a handle lies here, or null; and the entries of the queue after which all that write the memory,
  // and all that touch it, have run.
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

  // Whether no entry after the first `done` writes the memory, or touches it where the caller will write it.
  bool is_ready(int32_t handle, bool written, uint64_t done) {
    const Row& row = (*this)[handle];
    return (written ? row.touched : row.written) <= done;
  }
  // Tells that entry `entry`, counted from 1, touches the memory.
  void note(int32_t handle, bool written, uint64_t entry) {
    Row& row = (*this)[handle];
    row.touched = entry;
    if (written) row.written = entry;
  }

  // Memory for a handle that has none; null if there should be no more, or is none. Throws nothing.
  void* take(int32_t handle, size_t bytes, uint64_t done) noexcept;
  // Gives the memory back, or lets it wait until its last entry has run.
  void release(int32_t handle, uint64_t done) noexcept;
  // Gives back what has waited long enough.
  void collect(uint64_t done) noexcept;

  // The context of kernels that overtake: it has one thread, and its errors go to `errors_of`. Null if there is no
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
  size_t bytes_ = 0, count_ = 0;  // held, with what waits to be given back
  std::unique_ptr<Context> context_;
};

}  // namespace firesteel
