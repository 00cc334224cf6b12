#include "handles.h"

namespace firesteel {

void HandleTable::grow(size_t capacity, const double* sizes) {
  if (capacity > handles_.size()) handles_.resize(capacity);
  sizes_ = sizes;
}

int64_t HandleTable::announced_bytes(int32_t handle) const {
  const double bytes = sizes_[handle];
  if (!(bytes >= 0 && bytes <= 9007199254740991.0)) return -1;
  return static_cast<int64_t>(bytes);
}

uint32_t HandleTable::next_stamp() {
  if (++stamp_ == 0) {  // once in four billion calls: no old stamp may look like a new one
    for (Handle& handle : handles_) handle.stamp = 0;
    stamp_ = 1;
  }
  return stamp_;
}

void HandleTable::link(int32_t handle, uint8_t age) {
  Handle& entry = (*this)[handle];
  entry.age = age;
  entry.previous = -1;
  entry.next = first_[age];
  if (entry.next >= 0) (*this)[entry.next].previous = handle;
  first_[age] = handle;
}

void HandleTable::unlink(int32_t handle) {
  Handle& entry = (*this)[handle];
  if (entry.previous >= 0) {
    (*this)[entry.previous].next = entry.next;
  } else {
    first_[entry.age] = entry.next;
  }
  if (entry.next >= 0) (*this)[entry.next].previous = entry.previous;
}

void HandleTable::track(int32_t handle, napi_ref reference) {
  (*this)[handle].reference = reference;
  link(handle, 0);
}

void HandleTable::release(napi_env env, int32_t handle) {
  Handle& entry = (*this)[handle];
  if (entry.reference) {
    napi_delete_reference(env, entry.reference);
    entry.reference = nullptr;
    unlink(handle);
  }
  entry.live = false;
}

int32_t HandleTable::poll(napi_env env, bool major, int32_t* dead) {
  int32_t count = 0;
  if (major) poll_list(env, 2, 2, dead, &count);
  poll_list(env, 1, 2, dead, &count);
  poll_list(env, 0, 1, dead, &count);
  return count;
}

void HandleTable::poll_list(napi_env env, uint8_t age, uint8_t next_age, int32_t* dead, int32_t* count) {
  constexpr int scope_size = 256;  // the references looked at keep their objects until their scope closes
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  int looked_at = 0;
  for (int32_t handle = first_[age], next; handle >= 0; handle = next) {
    Handle& entry = (*this)[handle];
    next = entry.next;
    if (++looked_at % scope_size == 0) {
      napi_close_handle_scope(env, scope);
      napi_open_handle_scope(env, &scope);
    }
    napi_value object = nullptr;
    napi_get_reference_value(env, entry.reference, &object);
    if (!object) {
      release(env, handle);
      dead[(*count)++] = handle;
    } else if (next_age != age) {
      unlink(handle);
      link(handle, next_age);
    }
  }
  napi_close_handle_scope(env, scope);
}

}  // namespace firesteel
