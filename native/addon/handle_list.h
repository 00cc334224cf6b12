// The facts about each storage that a call needs: whether it is alive, and its bytes. This file does not use Node, so
// that the decoder of calls can be tested without it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace firesteel {

struct Handle {
  int64_t bytes = 0;
  int32_t guard = -1;                // -1 if the collector does not decide
  int32_t previous = -1, next = -1;  // neighbours in the list of the same guard
  uint32_t stamp = 0;                // the last call that used it, and
  bool written = false;              // whether that call writes it
  bool live = false;
};

class HandleList {
 public:
  // Allows handles below the capacity. `sizes` holds the bytes that each has, or will have.
  void grow(size_t capacity, const double* sizes) {
    if (capacity > handles_.size()) handles_.resize(capacity);
    sizes_ = sizes;
  }
  bool valid(int32_t handle) const { return handle >= 0 && static_cast<size_t>(handle) < handles_.size(); }
  bool live(int32_t handle) const { return valid(handle) && (*this)[handle].live; }
  Handle& operator[](int32_t handle) { return handles_[static_cast<size_t>(handle)]; }
  const Handle& operator[](int32_t handle) const { return handles_[static_cast<size_t>(handle)]; }
  size_t capacity() const { return handles_.size(); }

  // The bytes that JavaScript announced for a storage not made yet; -1 if the number is invalid.
  int64_t announced_bytes(int32_t handle) const {
    const double bytes = sizes_[handle];
    if (!(bytes >= 0 && bytes <= 9007199254740991.0)) return -1;
    return static_cast<int64_t>(bytes);
  }
  uint32_t next_stamp() {
    if (++stamp_ == 0) {  // Once in four billion calls: an old stamp must not look like a new one.
      for (Handle& handle : handles_) handle.stamp = 0;
      stamp_ = 1;
    }
    return stamp_;
  }

  // Makes room for `capacity` handles, after which `grow` never throws.
  void reserve_handles(size_t capacity) { handles_.reserve(capacity); }
  // Whether there is an open guard that storages may join.
  bool guard_is_open() const { return open_ >= 0; }

 protected:
  std::vector<Handle> handles_;
  int32_t open_ = -1;  // the guard that storages may join, or -1

 private:
  const double* sizes_ = nullptr;
  uint32_t stamp_ = 0;
};

}  // namespace firesteel
