// Opening of libraries while the program runs, and looking for their functions.
#pragma once
#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include <string>

namespace firesteel {

// A library that stays open until the process ends. `why` is the system's reason if it cannot be opened.
class DynamicLibrary {
 public:
  // `path` is UTF-8.
  DynamicLibrary(const char* path, std::string* why) {
#if defined(_WIN32)
    const int length = MultiByteToWideChar(CP_UTF8, 0, path, -1, nullptr, 0);
    std::wstring wide(static_cast<size_t>(length), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide.data(), length);
    handle_ = LoadLibraryW(wide.c_str());
    if (!handle_) *why = std::string(path) + ": error " + std::to_string(GetLastError()) + " of the system";
#else
    handle_ = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle_) return;
    const char* reason = dlerror();
    *why = reason ? reason : path;
#endif
  }

  explicit operator bool() const { return handle_ != nullptr; }

  // The function of that name, whose type the caller knows; null if the library has none.
  template <class Function>
  Function find(const char* name) const {
#if defined(_WIN32)
    return reinterpret_cast<Function>(reinterpret_cast<void*>(GetProcAddress(handle_, name)));
#else
    return reinterpret_cast<Function>(dlsym(handle_, name));
#endif
  }

 private:
#if defined(_WIN32)
  HMODULE handle_;
#else
  void* handle_;
#endif
};

}  // namespace firesteel
