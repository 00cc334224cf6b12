// The memory behind each handle. The thread that runs the queue owns it; the producer chooses and checks handles.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "executor.h"

namespace firesteel {

class StorageTable {
 public:
  explicit StorageTable(Executor& executor) : executor_(executor) {}
  ~StorageTable() {
    for (size_t handle = 0; handle < slots_.size(); handle++) release(static_cast<int32_t>(handle));
  }
  StorageTable(const StorageTable&) = delete;
  StorageTable& operator=(const StorageTable&) = delete;

  // Null if there is no memory; the handle then stays without memory.
  void* allocate(int32_t handle, size_t bytes) {
    const auto index = static_cast<size_t>(handle);
    if (index >= slots_.size()) slots_.resize(index + index / 2 + 64);
    release(handle);
    void* data = executor_.allocate(bytes);
    if (data) slots_[index] = {data, bytes};
    return data;
  }

  // Null if an allocation failed.
  void* find(int32_t handle) const {
    const auto index = static_cast<size_t>(handle);
    return index < slots_.size() ? slots_[index].data : nullptr;
  }

  void release(int32_t handle) noexcept {
    const auto index = static_cast<size_t>(handle);
    if (index >= slots_.size() || !slots_[index].data) return;
    executor_.release(slots_[index].data, slots_[index].bytes);
    slots_[index].data = nullptr;
  }

 private:
  struct Slot {
    void* data = nullptr;
    size_t bytes = 0;
  };
  Executor& executor_;
  std::vector<Slot> slots_;
};

}  // namespace firesteel
