#include "file.h"

#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <errno.h>
#include <unistd.h>
#endif

#include <algorithm>

namespace firesteel {

#if defined(_WIN32)

namespace {

// The system's handle of a file. Numbers of files belong to a C library, and the program has another one than this
// binary, so the program must be asked (libuv, which is a part of Node's interface).
HANDLE handle_of(int file) {
  using Find = HANDLE (*)(int);
  static const auto find =
      reinterpret_cast<Find>(reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(nullptr), "uv_get_osfhandle")));
  return find ? find(file) : INVALID_HANDLE_VALUE;
}

}  // namespace

bool read_file(int file, int64_t position, char* to, size_t bytes) {
  const HANDLE handle = handle_of(file);
  for (size_t at = 0; at < bytes;) {
    const uint64_t place = static_cast<uint64_t>(position) + at;
    OVERLAPPED from = {};
    from.Offset = static_cast<DWORD>(place);
    from.OffsetHigh = static_cast<DWORD>(place >> 32);
    DWORD count = 0;
    const DWORD wanted = static_cast<DWORD>(std::min(bytes - at, size_t(1) << 30));
    if (!ReadFile(handle, to + at, wanted, &count, &from) || count == 0) return false;
    at += count;
  }
  return true;
}

#else

bool read_file(int file, int64_t position, char* to, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    const ssize_t count = pread(file, to + at, bytes - at, position + static_cast<int64_t>(at));
    if (count > 0)
      at += static_cast<size_t>(count);
    else if (count == 0 || errno != EINTR)
      return false;
  }
  return true;
}

#endif

}  // namespace firesteel
