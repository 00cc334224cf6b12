#include "isa.h"

#include <string.h>

#include "processor.h"

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
  bool (*runs_on)(const Processor&);
};

// Best first.
const Candidate candidates[] = {
#if defined(__x86_64__)
#ifndef FIRESTEEL_WITHOUT_AVX512
    {{"avx512", &avx512::table, &avx512::peak_loops},
     [](const Processor& p) {
       return p.avx512f && p.avx512bw && p.avx512vl && p.avx512dq && p.avx2 && p.fma && p.f16c;
     }},
#endif
    {{"avx2", &avx2::table, &avx2::peak_loops}, [](const Processor& p) { return p.avx2 && p.fma && p.f16c; }},
    {{"base", &base::table, &base::peak_loops}, [](const Processor&) { return true; }},
#elif defined(__aarch64__)
    {{"neon", &neon::table, &neon::peak_loops}, [](const Processor&) { return true; }},
#endif
};

}  // namespace

Isa choose_isa(const char* wanted) {
  for (const Candidate& candidate : candidates) {
    if (wanted && strcmp(wanted, candidate.isa.name) != 0) continue;
    if (candidate.runs_on(this_processor())) return candidate.isa;
    if (wanted) return {"this CPU does not have that instruction set", nullptr};
  }
  return {"this build does not have that instruction set", nullptr};
}

}  // namespace firesteel
