// What the JavaScript thread knows of each storage: whether it lives, its bytes, and the weak reference by which the
// garbage collector's verdict is polled. Tracked handles are in one of three lists, by how many polls they survived:
// V8 promotes what survives two minor collections, so those are looked at after a major collection only.
#pragma once
#include <node_api.h>
#include <stdint.h>

#include <vector>

namespace firesteel {

struct Handle {
  napi_ref reference = nullptr;  // weak; null where untracked
  int64_t bytes = 0;
  int32_t previous = -1, next = -1;
  uint32_t stamp = 0;    // the call that saw it last, and
  bool written = false;  // whether that call writes it
  bool live = false;
  uint8_t age = 0;
};

class HandleTable {
 public:
  // Handles below the capacity may be used. `sizes` are the bytes each has, or will have.
  void grow(size_t capacity, const double* sizes);
  bool valid(int32_t handle) const { return handle >= 0 && static_cast<size_t>(handle) < handles_.size(); }
  bool live(int32_t handle) const { return valid(handle) && (*this)[handle].live; }
  Handle& operator[](int32_t handle) { return handles_[static_cast<size_t>(handle)]; }
  const Handle& operator[](int32_t handle) const { return handles_[static_cast<size_t>(handle)]; }
  size_t capacity() const { return handles_.size(); }

  // Bytes that JavaScript announced for a storage not made yet; -1 if that is no sensible number.
  int64_t announced_bytes(int32_t handle) const;
  uint32_t next_stamp();

  // `reference` becomes the table's.
  void track(int32_t handle, napi_ref reference);
  void release(napi_env env, int32_t handle);
  // Releases the tracked handles whose objects the collector took, and writes them to `dead`, which has room for all.
  int32_t poll(napi_env env, bool major, int32_t* dead);

 private:
  static constexpr int ages = 3;
  void link(int32_t handle, uint8_t age);
  void unlink(int32_t handle);
  void poll_list(napi_env env, uint8_t age, uint8_t next_age, int32_t* dead, int32_t* count);

  std::vector<Handle> handles_;
  const double* sizes_ = nullptr;
  int32_t first_[ages] = {-1, -1, -1};
  uint32_t stamp_ = 0;
};

}  // namespace firesteel
