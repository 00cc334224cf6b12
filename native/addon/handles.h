// The facts about each storage that the JavaScript thread knows: whether it is alive, its bytes, and the guard through
// which the garbage collector's verdict is polled. A guard is a weak reference to a JavaScript object. A large storage
// has its own; several small storages share one, which ends with the last of them, because a reference costs more than
// a small kernel. Guards are in one of three lists, by the number of polls they survived: V8 promotes objects that
// survive two minor collections, so these are polled only after a major collection.
#pragma once
// This file uses plain Node-API, because a collection polls thousands of weak references here, and the native tests
// link this file without Node.
#include <node_api.h>
#include <stdint.h>

#include <vector>

#include "handle_list.h"

namespace firesteel {

class HandleTable : public HandleList {
 public:
  // Makes room for `guards` more guards, after which `track` never throws.
  void reserve(size_t guards) {
    if (guards_.size() + guards > guards_.capacity()) guards_.reserve(2 * guards_.size() + guards);
  }
  // Gives the storage a guard, and takes over the weak `reference`. Storages may join an `open` guard until the next
  // one is opened or its object is dead.
  void track(napi_env env, int32_t handle, napi_ref reference, bool open);
  void join(int32_t handle) { link(handle, open_); }
  void release(napi_env env, int32_t handle);
  // Releases the storages whose guards the collector took, and writes their handles to `dead`, which must have room for
  // all.
  int32_t poll(napi_env env, bool major, int32_t* dead);

 private:
  static constexpr int ages = 3;
  struct Guard {
    napi_ref reference = nullptr;
    int32_t first = -1;                // the first of its storages
    int32_t previous = -1, next = -1;  // neighbours in the list of one age, or of free guards
    uint8_t age = 0;
  };
  Guard& guard(int32_t index) { return guards_[static_cast<size_t>(index)]; }
  int32_t make_guard(napi_ref reference);
  void drop_guard(napi_env env, int32_t index);
  void enlist(int32_t index, uint8_t age);
  void delist(int32_t index);
  void link(int32_t handle, int32_t index);
  void unlink(int32_t handle);
  void poll_list(napi_env env, uint8_t age, uint8_t next_age, int32_t* dead, int32_t* count);

  std::vector<Guard> guards_;
  int32_t free_guard_ = -1;
  int32_t first_[ages] = {-1, -1, -1};
};

}  // namespace firesteel
