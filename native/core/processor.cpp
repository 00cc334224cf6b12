#include "processor.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace firesteel {
namespace {

constexpr bool has_bit(uint64_t word, int bit) { return (word >> bit & 1) != 0; }

// Registers that the operating system saves: bits 1 and 2 are those of SSE and AVX, and bits 5 to 7 the masks and
// registers of AVX-512 (Intel's manual, volume 1, 13.3).
constexpr uint64_t avx_registers = 0x6, avx512_registers = 0xe6;

constexpr uint32_t intel = 0x756e6547;  // "Genu", of GenuineIntel

ProcessorAnswers ask_processor() {
  ProcessorAnswers answers;
#if defined(__x86_64__)
  uint32_t eax, ebx, ecx, edx;
  __cpuid(0, eax, ebx, ecx, edx);
  answers.highest_leaf = eax;
  answers.leaf0_ebx = ebx;
  __cpuid(1, eax, ebx, ecx, edx);
  answers.leaf1_ecx = ecx;
  if (answers.highest_leaf >= 7) {
    __cpuid_count(7, 0, eax, ebx, ecx, edx);
    answers.leaf7_highest_subleaf = eax;
    answers.leaf7_ebx = ebx;
    __cpuid_count(7, 1, eax, ebx, ecx, edx);
    answers.leaf7_1_eax = eax;
  }
  if (tells_kept_registers(answers)) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    answers.kept_registers = uint64_t(high) << 32 | low;
  }
#endif
  return answers;
}

}  // namespace

bool tells_kept_registers(const ProcessorAnswers& answers) { return has_bit(answers.leaf1_ecx, 27); }

Processor read_processor(const ProcessorAnswers& answers) {
  const uint64_t kept = tells_kept_registers(answers) ? answers.kept_registers : 0;
  const bool avx = (kept & avx_registers) == avx_registers && has_bit(answers.leaf1_ecx, 28);
  const bool avx512 = avx && (kept & avx512_registers) == avx512_registers;
  // A processor answers a leaf that it lacks with another leaf's numbers.
  const uint32_t leaf1 = avx ? answers.leaf1_ecx : 0;
  const uint32_t leaf7 = avx && answers.highest_leaf >= 7 ? answers.leaf7_ebx : 0;
  const uint32_t leaf7_1 = answers.leaf7_highest_subleaf >= 1 ? answers.leaf7_1_eax : 0;
  const bool avx512f = avx512 && has_bit(leaf7, 16), avx512bf16 = avx512f && has_bit(leaf7_1, 5);
  return {
      .avx2 = has_bit(leaf7, 5),
      .fma = has_bit(leaf1, 12),
      .f16c = has_bit(leaf1, 29),
      .avx512f = avx512f,
      .avx512bw = avx512f && has_bit(leaf7, 30),
      .avx512vl = avx512f && has_bit(leaf7, 31),
      .avx512dq = avx512f && has_bit(leaf7, 17),
      .avx512bf16 = avx512bf16,
      .fast_bfloat16 = avx512bf16 && answers.leaf0_ebx != intel,
  };
}

const Processor& this_processor() {
  static const Processor processor = read_processor(ask_processor());
  return processor;
}

}  // namespace firesteel
