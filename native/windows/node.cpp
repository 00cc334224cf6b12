// Node's functions in a binary for Windows, which finds them in the program that loads it, whatever the program's name:
// a binary that asks node.exe for them does not load in Electron. `node_functions.h` lists them, as
// scripts/package/windows.ts writes it.
#define NOMINMAX
#include <windows.h>

extern "C" {

// The compiler calls an imported function through such a pointer, which is otherwise the linker's.
#define X(name) void* __imp_##name;
#include "node_functions.h"
#undef X

BOOL WINAPI DllMain(HINSTANCE, DWORD reason, LPVOID) {
  if (reason != DLL_PROCESS_ATTACH) return TRUE;
  const HMODULE program = GetModuleHandleW(nullptr);
#define X(name)                                                           \
  __imp_##name = reinterpret_cast<void*>(GetProcAddress(program, #name)); \
  if (!__imp_##name) return FALSE;
#include "node_functions.h"
#undef X
  return TRUE;
}
}
