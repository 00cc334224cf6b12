// The system's pages: addresses that are reserved in one piece, and the memory behind them.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace firesteel {

struct Addresses {
  uintptr_t base = 0;
  size_t bytes = 0;  // 0 if the system gives none
};

// Reserves about `room` bytes of addresses without taking memory. Base and bytes are multiples of `page`.
Addresses reserve_addresses(size_t room, size_t page);
void free_addresses(const Addresses& addresses);
// The most bytes of addresses that this process may have; SIZE_MAX without a limit.
size_t most_addresses();

// Opens reserved addresses, so that memory may be taken behind them. Returns false if the system refuses.
bool open_addresses(void* start, size_t bytes);
// Takes memory behind open addresses. What was taken before keeps its content. Returns false, having taken nothing, if
// the system tells at once that it has too little. Linux and macOS tell nothing, and take memory when it is touched.
bool take_memory(void* start, size_t bytes);
// Gives memory back to the system. It is zeros when it is taken and touched again.
void return_memory(void* start, size_t bytes);

// Writes how many bytes of each of `count` pieces were never touched; a piece has `piece` bytes, at most 2 MB. If the
// system does not tell, all count as untouched.
constexpr size_t most_pieces = 64;
void count_untouched(void* start, size_t piece, size_t count, size_t* untouched);

}  // namespace firesteel
