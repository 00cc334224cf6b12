// The instructions that this processor says it runs. Compilers have a function for this. But in the run time of some
// cross compilers it always answers no, and the baseline kernels would be used silently.
#pragma once
#include <stdint.h>

namespace firesteel {

// Instructions of x86 that some processors lack. Other architectures have none of them.
struct Processor {
  bool avx2, fma, f16c;
  bool avx512f, avx512bw, avx512vl, avx512dq, avx512bf16;
  // Whether multiply-adds of bfloat16 outrun those of float32. Intel's cores begin one of 512 bits in two cycles, and
  // two of float32 in each cycle, because a separate unit (AMX) is there for bfloat16.
  bool fast_bfloat16;
};

// The answers of `cpuid`, one register of a leaf each. The answer of `xgetbv` is the set of registers that the
// operating system saves when it switches threads, or 0 if it does not say.
struct ProcessorAnswers {
  uint32_t highest_leaf = 0;
  uint32_t leaf0_ebx = 0;  // the first four letters of the maker's name
  uint32_t leaf1_ecx = 0;
  uint32_t leaf7_highest_subleaf = 0, leaf7_ebx = 0;
  uint32_t leaf7_1_eax = 0;
  uint64_t kept_registers = 0;
};

// Whether `cpuid` says that `xgetbv` exists.
bool tells_kept_registers(const ProcessorAnswers& answers);

// The instructions that exist and whose registers survive a switch of threads.
Processor read_processor(const ProcessorAnswers& answers);

const Processor& this_processor();

}  // namespace firesteel
