#include "handles.h"

namespace firesteel {

int32_t HandleTable::make_guard(napi_ref reference) {
  int32_t index = free_guard_;
  if (index >= 0) {
    free_guard_ = guard(index).next;
  } else {
    index = static_cast<int32_t>(guards_.size());
    guards_.emplace_back();
  }
  guard(index) = {.reference = reference};
  enlist(index, 0);
  return index;
}

void HandleTable::drop_guard(napi_env env, int32_t index) {
  napi_delete_reference(env, guard(index).reference);
  delist(index);
  guard(index).next = free_guard_;
  free_guard_ = index;
  if (open_ == index) open_ = -1;
}

void HandleTable::enlist(int32_t index, uint8_t age) {
  Guard& entry = guard(index);
  entry.age = age;
  entry.previous = -1;
  entry.next = first_[age];
  if (entry.next >= 0) guard(entry.next).previous = index;
  first_[age] = index;
}

void HandleTable::delist(int32_t index) {
  const Guard& entry = guard(index);
  if (entry.previous >= 0) {
    guard(entry.previous).next = entry.next;
  } else {
    first_[entry.age] = entry.next;
  }
  if (entry.next >= 0) guard(entry.next).previous = entry.previous;
}

void HandleTable::link(int32_t handle, int32_t index) {
  Handle& entry = (*this)[handle];
  entry.guard = index;
  entry.previous = -1;
  entry.next = guard(index).first;
  if (entry.next >= 0) (*this)[entry.next].previous = handle;
  guard(index).first = handle;
}

void HandleTable::unlink(int32_t handle) {
  Handle& entry = (*this)[handle];
  if (entry.previous >= 0) {
    (*this)[entry.previous].next = entry.next;
  } else {
    guard(entry.guard).first = entry.next;
  }
  if (entry.next >= 0) (*this)[entry.next].previous = entry.previous;
  entry.guard = -1;
}

void HandleTable::track(napi_env env, int32_t handle, napi_ref reference, bool open) {
  const int32_t index = make_guard(reference);
  link(handle, index);
  if (!open) return;
  const int32_t before = open_;
  open_ = index;
  if (before >= 0 && guard(before).first < 0) drop_guard(env, before);
}

void HandleTable::release(napi_env env, int32_t handle) {
  Handle& entry = (*this)[handle];
  if (const int32_t index = entry.guard; index >= 0) {
    unlink(handle);
    if (guard(index).first < 0 && index != open_) drop_guard(env, index);
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
  constexpr int scope_size = 256;  // a scope keeps the objects that are looked at alive until it closes
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  int looked_at = 0;
  for (int32_t index = first_[age], next; index >= 0; index = next) {
    next = guard(index).next;
    if (++looked_at % scope_size == 0) {
      napi_close_handle_scope(env, scope);
      napi_open_handle_scope(env, &scope);
    }
    napi_value object = nullptr;
    napi_get_reference_value(env, guard(index).reference, &object);
    if (!object) {
      for (int32_t handle = guard(index).first; handle >= 0; handle = (*this)[handle].next) {
        (*this)[handle].guard = -1;
        (*this)[handle].live = false;
        dead[(*count)++] = handle;
      }
      drop_guard(env, index);
    } else if (next_age != age) {
      delist(index);
      enlist(index, next_age);
    }
  }
  napi_close_handle_scope(env, scope);
}

}  // namespace firesteel
