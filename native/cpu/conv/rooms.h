// Private memory for the chunks of a parallel section: as many rooms as threads, each held by one chunk at a time. Which
// room a chunk gets depends on timing; what it computes does not, because a chunk writes a room before it reads it.
#pragma once
#include "../../core/kernel.h"

namespace firesteel::FIRESTEEL_ISA::conv {

struct Rooms {
  float* memory;
  int64_t floats;  // of a room
  int32_t* taken;
  int64_t count;
};

static inline bool make_rooms(Context& context, int64_t floats, int64_t chunks, Rooms& rooms) {
  const int64_t threads = thread_count(context);
  rooms.count = threads < 1 ? 1 : threads < chunks ? threads : chunks;
  rooms.floats = (floats + 15) / 16 * 16;
  rooms.memory = static_cast<float*>(scratch(context, size_t(rooms.count * rooms.floats) * sizeof(float)));
  rooms.taken = static_cast<int32_t*>(scratch(context, size_t(rooms.count) * sizeof(int32_t)));
  if (!rooms.memory || !rooms.taken) return false;
  for (int64_t i = 0; i < rooms.count; i++) rooms.taken[i] = 0;
  return true;
}

static inline float* enter_room(const Rooms& rooms, int64_t& number) {
  for (number = 0;; number = number + 1 < rooms.count ? number + 1 : 0)
    if (!__atomic_exchange_n(&rooms.taken[number], 1, __ATOMIC_ACQUIRE)) return rooms.memory + number * rooms.floats;
}

static inline void leave_room(const Rooms& rooms, int64_t number) {
  __atomic_store_n(&rooms.taken[number], 0, __ATOMIC_RELEASE);
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
