// The instruction sets this binary was built for, and the one to use.
#pragma once

namespace firesteel {

struct KernelTable;
struct PeakLoops;

struct Isa {
  const char* name;
  const KernelTable* table;
  const PeakLoops* peak = nullptr;
};

// The best instruction set of this CPU, or the `wanted` one. On failure the table is null and `name` says why.
Isa choose_isa(const char* wanted);

}  // namespace firesteel
