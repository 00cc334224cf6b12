// The memory of each handle. The thread that runs the queue owns it, and the producer chooses and checks handles.
//
// The slot of a handle never moves. So the producer may look at a handle whose queue entries have all run, while the
// executor adds others.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <bit>
#include <memory>

#include "executor.h"

namespace firesteel {

class StorageTable {
 public:
  explicit StorageTable(Executor& executor) : executor_(executor) {}
  ~StorageTable() {
    for (size_t handle = 0; handle < capacity_; handle++) release(static_cast<int32_t>(handle));
  }
  StorageTable(const StorageTable&) = delete;
  StorageTable& operator=(const StorageTable&) = delete;

  // Allows handles below the capacity. Only the producer calls it, before it submits an entry with such a handle.
  void reserve(size_t capacity) {
    while (capacity_ < capacity) {
      const size_t segment = segment_of(capacity_);
      segments_[segment].reset(new Slot[size_of(segment)]);
      capacity_ += size_of(segment);
    }
  }

  // Returns null if there is no memory. The handle then stays without memory.
  void* allocate(int32_t handle, size_t bytes) {
    release(handle);
    void* data = executor_.allocate(bytes);
    if (data) at(handle) = {data, bytes};
    return data;
  }

  // Null if its allocation failed.
  void* find(int32_t handle) { return at(handle).data; }

  void release(int32_t handle) noexcept {
    Slot& slot = at(handle);
    if (!slot.data) return;
    executor_.release(slot.data, slot.bytes);
    slot.data = nullptr;
  }

 private:
  struct Slot {
    void* data = nullptr;
    size_t bytes = 0;
  };
  // Segment 0 holds the first 1024 handles. Every other segment holds as many as all before it.
  static constexpr size_t first = 1024, most_segments = 23;
  static size_t segment_of(size_t index) { return static_cast<size_t>(std::bit_width(index / first)); }
  static size_t size_of(size_t segment) { return segment == 0 ? first : first << (segment - 1); }
  Slot& at(int32_t handle) {
    const auto index = static_cast<size_t>(handle);
    const size_t segment = segment_of(index);
    return segments_[segment][segment == 0 ? index : index - size_of(segment)];
  }

  Executor& executor_;
  std::unique_ptr<Slot[]> segments_[most_segments];
  size_t capacity_ = 0;  // used by the producer only
};

}  // namespace firesteel
