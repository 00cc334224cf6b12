#include "isa.h"

#include <string.h>

namespace firesteel {

#if defined(__x86_64__)
namespace base {
extern const KernelTable table;
extern const PeakLoops peak_loops;
}  // namespace base
namespace avx2 {
extern const KernelTable table;
extern const PeakLoops peak_loops;
}  // namespace avx2
#ifndef FIRESTEEL_WITHOUT_AVX512
namespace avx512 {
extern const KernelTable table;
extern const PeakLoops peak_loops;
}  // namespace avx512
#endif
#elif defined(__aarch64__)
namespace neon {
extern const KernelTable table;
extern const PeakLoops peak_loops;
}  // namespace neon
#endif

namespace {

struct Candidate {
  Isa isa;
  bool (*present)();
};

// Best first.
const Candidate candidates[] = {
#if defined(__x86_64__)
#ifndef FIRESTEEL_WITHOUT_AVX512
    {{"avx512", &avx512::table, &avx512::peak_loops},
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
     }},
#endif
    {{"avx2", &avx2::table, &avx2::peak_loops},
     [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
    {{"base", &base::table, &base::peak_loops}, [] { return true; }},
#elif defined(__aarch64__)
    {{"neon", &neon::table, &neon::peak_loops}, [] { return true; }},
#endif
};

}  // namespace

Isa choose_isa(const char* wanted) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  for (const Candidate& candidate : candidates) {
    if (wanted && strcmp(wanted, candidate.isa.name) != 0) continue;
    if (candidate.present()) return candidate.isa;
    if (wanted) return {"this CPU does not have that instruction set", nullptr};
  }
  return {"this build does not have that instruction set", nullptr};
}

}  // namespace firesteel
