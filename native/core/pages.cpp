#include "pages.h"

#if defined(_WIN32)
// The second version of these functions stands in kernel32 itself.
#define PSAPI_VERSION 2
#define NOMINMAX
#include <windows.h>
// It needs the types of windows.h.
#include <psapi.h>
#else
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

#include <algorithm>

namespace firesteel {
namespace {

constexpr size_t largest_piece = size_t(2) << 20;
constexpr size_t smallest_page = 4096;

constexpr uintptr_t round_up(uintptr_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

// The whole pages within reserved addresses.
Addresses whole_pages(uintptr_t from, size_t room, size_t page) {
  const uintptr_t base = round_up(from, page);
  return {base, (from + room - base) / page * page};
}

}  // namespace

#if defined(_WIN32)

Addresses reserve_addresses(size_t room, size_t page) {
  void* start = VirtualAlloc(nullptr, room, MEM_RESERVE, PAGE_NOACCESS);
  return start ? whole_pages(reinterpret_cast<uintptr_t>(start), room, page) : Addresses{};
}

// The system frees a reservation only as a whole, and knows where it begins.
void free_addresses(const Addresses& addresses) {
  MEMORY_BASIC_INFORMATION found;
  if (VirtualQuery(reinterpret_cast<void*>(addresses.base), &found, sizeof found) == sizeof found)
    VirtualFree(found.AllocationBase, 0, MEM_RELEASE);
}

size_t most_addresses() { return SIZE_MAX; }

bool open_addresses(void*, size_t) { return true; }

bool take_memory(void* start, size_t bytes) {
  return VirtualAlloc(start, bytes, MEM_COMMIT, PAGE_READWRITE) != nullptr;
}

void return_memory(void* start, size_t bytes) { VirtualFree(start, bytes, MEM_DECOMMIT); }

// Pages that the system has written to disk count as untouched as well, because it does not tell them apart.
void count_untouched(void* start, size_t piece, size_t count, size_t* untouched) {
  PSAPI_WORKING_SET_EX_INFORMATION pages[largest_piece / smallest_page];
  const size_t parts = piece / smallest_page;
  for (size_t i = 0; i < count; i++) {
    for (size_t k = 0; k < parts; k++)
      pages[k] = {static_cast<char*>(start) + i * piece + k * smallest_page, {.Flags = 0}};
    const bool told = QueryWorkingSetEx(GetCurrentProcess(), pages, static_cast<DWORD>(parts * sizeof pages[0])) != 0;
    const auto is_untouched = [&](const auto& part) { return !told || !part.VirtualAttributes.Valid; };
    untouched[i] = smallest_page * static_cast<size_t>(std::count_if(pages, pages + parts, is_untouched));
  }
}

#else

namespace {

#if defined(__APPLE__)
// Pages that macOS has compressed or written to disk were touched, too.
using PageState = char;
constexpr PageState touched_page = MINCORE_INCORE | MINCORE_PAGED_OUT;
#else
using PageState = unsigned char;
constexpr PageState touched_page = 1;
#endif

}  // namespace

Addresses reserve_addresses(size_t room, size_t page) {
  void* start = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return {};
  const uintptr_t from = reinterpret_cast<uintptr_t>(start);
  const Addresses whole = whole_pages(from, room, page);
  const uintptr_t end = whole.base + whole.bytes;
  if (whole.base > from) munmap(start, whole.base - from);
  if (from + room > end) munmap(reinterpret_cast<void*>(end), from + room - end);
  return whole;
}

void free_addresses(const Addresses& addresses) { munmap(reinterpret_cast<void*>(addresses.base), addresses.bytes); }

size_t most_addresses() {
  rlimit limit;
  return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : SIZE_MAX;
}

bool open_addresses(void* start, size_t bytes) {
  if (mprotect(start, bytes, PROT_READ | PROT_WRITE) != 0) return false;
#ifdef MADV_HUGEPAGE
  madvise(start, bytes, MADV_HUGEPAGE);
#endif
  return true;
}

bool take_memory(void*, size_t) { return true; }

void return_memory(void* start, size_t bytes) {
#if defined(__APPLE__)
  // MADV_DONTNEED keeps the pages there, so fresh ones take their place.
  mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
#else
  madvise(start, bytes, MADV_DONTNEED);
#endif
}

// Small pages are counted one by one, because the system may have no huge ones.
void count_untouched(void* start, size_t piece, size_t count, size_t* untouched) {
  static const size_t small_page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t parts = piece / small_page;
  PageState touched[most_pieces * largest_piece / smallest_page];
  if (mincore(start, count * piece, touched) != 0) std::fill_n(touched, count * parts, 0);
  for (size_t i = 0; i < count; i++) {
    const PageState* states = touched + i * parts;
    const auto without = std::count_if(states, states + parts, [](PageState part) { return !(part & touched_page); });
    untouched[i] = small_page * static_cast<size_t>(without);
  }
}

#endif

}  // namespace firesteel
