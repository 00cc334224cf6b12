// Private memory for the chunks of a parallel section: as many rooms as threads, each held by one chunk at a time.
// Timing decides which room a chunk gets, but not its results, because a chunk writes a room before it reads it.
#pragma once
#include "../core/kernel.h"
#include "chunks.h"
#include "integers.h"

namespace firesteel::FIRESTEEL_ISA {

struct Rooms {
  float* memory;
  int64_t floats;  // of a room
  int32_t* taken;
  int64_t count;
};

template <class T>
static inline T* scratch_of(Context& context, int64_t count) {
  return static_cast<T*>(scratch(context, size_t(count) * sizeof(T)));
}

static inline Rooms make_rooms(Context& context, int64_t floats, int64_t chunks) {
  const int64_t threads = thread_count(context);
  Rooms rooms;
  rooms.count = threads < 1 ? 1 : min(threads, chunks);
  rooms.floats = round_up(floats, 16);
  rooms.memory = scratch_of<float>(context, rooms.count * rooms.floats);
  rooms.taken = scratch_of<int32_t>(context, rooms.count);
  for (int64_t i = 0; i < rooms.count; i++) rooms.taken[i] = 0;
  return rooms;
}

static inline Rooms make_rooms(Context& context, int64_t floats, Chunks chunks) {
  return make_rooms(context, floats, ceil_div(chunks.items, chunks.size));
}

static inline float* enter_room(const Rooms& rooms, int64_t& number) {
  for (number = 0;; number = number + 1 < rooms.count ? number + 1 : 0)
    if (!__atomic_exchange_n(&rooms.taken[number], 1, __ATOMIC_ACQUIRE)) return rooms.memory + number * rooms.floats;
}

static inline void leave_room(const Rooms& rooms, int64_t number) {
  __atomic_store_n(&rooms.taken[number], 0, __ATOMIC_RELEASE);
}

// Like for_chunks of chunks.h, except that body(first, end, room) has the room to itself.
template <class F>
static inline void for_chunks(Context& context, Chunks chunks, const Rooms& rooms, const F& body) {
  for_chunks(context, chunks, [&](int64_t first, int64_t end) {
    int64_t number;
    float* const room = enter_room(rooms, number);
    body(first, end, room);
    leave_room(rooms, number);
  });
}

// Like for_items of chunks.h, except that body(item, room) has the room to itself.
template <class F>
static inline void for_items(Context& context, Chunks chunks, const Rooms& rooms, const F& body) {
  for_chunks(context, chunks, rooms, [&](int64_t first, int64_t end, float* room) {
    for (int64_t item = first; item < end; item++) body(item, room);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
