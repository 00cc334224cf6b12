// The meaning of a processor's answers: of invented ones, and of this machine's, compared with what its operating
// system reports.
#include "../core/processor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fstream>
#include <sstream>
#include <string>

using firesteel::Processor;
using firesteel::ProcessorAnswers;
using firesteel::read_processor;

namespace {

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

struct Feature {
  const char* name;  // as Linux names it
  bool Processor::*flag;
};
constexpr Feature features[] = {
    {"avx2", &Processor::avx2},         {"fma", &Processor::fma},
    {"f16c", &Processor::f16c},         {"avx512f", &Processor::avx512f},
    {"avx512bw", &Processor::avx512bw}, {"avx512vl", &Processor::avx512vl},
    {"avx512dq", &Processor::avx512dq}, {"avx512_bf16", &Processor::avx512bf16},
};

std::string names_of(const Processor& processor) {
  std::string names;
  for (const Feature& feature : features)
    if (processor.*feature.flag) names += std::string(names.empty() ? "" : " ") + feature.name;
  return names;
}

constexpr const char* all = "avx2 fma f16c avx512f avx512bw avx512vl avx512dq avx512_bf16";
constexpr const char* up_to_avx2 = "avx2 fma f16c";

// A processor that answers yes to everything, under a system that saves all registers.
constexpr ProcessorAnswers everything() {
  ProcessorAnswers answers;
  answers.highest_leaf = 7;
  answers.leaf7_highest_subleaf = 1;
  answers.leaf1_ecx = answers.leaf7_ebx = answers.leaf7_1_eax = 0xffffffff;
  answers.kept_registers = ~uint64_t(0);
  return answers;
}

std::string with_kept(uint64_t registers) {
  ProcessorAnswers answers = everything();
  answers.kept_registers = registers;
  return names_of(read_processor(answers));
}

void test_registers() {
  CHECK(names_of(read_processor(ProcessorAnswers())) == "");
  CHECK(names_of(read_processor(everything())) == all);
  CHECK(with_kept(0xe7) == all && with_kept(0xe6) == all);
  // The system does not save one of the three parts of AVX-512's registers.
  for (const uint64_t part : {0x20, 0x40, 0x80}) CHECK(with_kept(0xe6 & ~part) == up_to_avx2);
  CHECK(with_kept(0x6) == up_to_avx2);
  CHECK(with_kept(0x2) == "" && with_kept(0x4) == "" && with_kept(0xe2) == "" && with_kept(0) == "");
  ProcessorAnswers answers = everything();
  answers.leaf1_ecx &= ~(1u << 27);  // xgetbv may not be asked, whatever it would answer
  CHECK(names_of(read_processor(answers)) == "");
  answers = everything();
  answers.leaf1_ecx &= ~(1u << 28);  // no AVX, and hence nothing that needs it
  CHECK(names_of(read_processor(answers)) == "");
}

void test_leaves() {
  ProcessorAnswers answers = everything();
  answers.highest_leaf = 6;
  CHECK(names_of(read_processor(answers)) == "fma f16c");
  answers = everything();
  answers.leaf7_highest_subleaf = 0;
  CHECK(names_of(read_processor(answers)) == "avx2 fma f16c avx512f avx512bw avx512vl avx512dq");
}

// Each bit alone removes only its own name, except that avx512f's removes all of AVX-512.
void test_bits() {
  const struct {
    uint32_t ProcessorAnswers::*word;
    int bit;
    const char* name;
  } bits[] = {
      {&ProcessorAnswers::leaf1_ecx, 12, "fma"},          {&ProcessorAnswers::leaf1_ecx, 29, "f16c"},
      {&ProcessorAnswers::leaf7_ebx, 5, "avx2"},          {&ProcessorAnswers::leaf7_ebx, 17, "avx512dq"},
      {&ProcessorAnswers::leaf7_ebx, 30, "avx512bw"},     {&ProcessorAnswers::leaf7_ebx, 31, "avx512vl"},
      {&ProcessorAnswers::leaf7_1_eax, 5, "avx512_bf16"},
  };
  for (const auto& [word, bit, name] : bits) {
    ProcessorAnswers answers = everything();
    answers.*word &= ~(1u << bit);
    const Processor processor = read_processor(answers);
    for (const Feature& feature : features) CHECK(processor.*feature.flag == (std::string(name) != feature.name));
  }
  ProcessorAnswers answers = everything();
  answers.leaf7_ebx &= ~(1u << 16);
  CHECK(names_of(read_processor(answers)) == up_to_avx2);
}

// The instructions for pairs of bfloat16 are as slow on each of Intel's processors.
void test_bfloat16() {
  CHECK(read_processor(everything()).fast_bfloat16);
  ProcessorAnswers answers = everything();
  answers.leaf7_1_eax = 0;
  CHECK(!read_processor(answers).fast_bfloat16);
  answers = everything();
  memcpy(&answers.leaf0_ebx, "GenuineIntel", sizeof answers.leaf0_ebx);
  CHECK(!read_processor(answers).fast_bfloat16 && read_processor(answers).avx512bf16);
  memcpy(&answers.leaf0_ebx, "AuthenticAMD", sizeof answers.leaf0_ebx);
  CHECK(read_processor(answers).fast_bfloat16);
}

// The flags of this machine's first processor in Linux' file on processors.
void test_this_machine() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("flags", 0) != 0) continue;
    Processor told{};
    std::istringstream words(line);
    for (std::string word; words >> word;)
      for (const Feature& feature : features)
        if (word == feature.name) told.*feature.flag = true;
    CHECK(names_of(firesteel::this_processor()) == names_of(told));
    printf("this machine: %s\n", names_of(told).c_str());
    return;
  }
#if defined(__x86_64__)
  puts("this machine: not compared, because /proc/cpuinfo has no flags");
#else
  CHECK(names_of(firesteel::this_processor()) == "");
#endif
}

}  // namespace

int main() {
  test_registers();
  test_leaves();
  test_bits();
  test_bfloat16();
  test_this_machine();
  puts("processor: ok");
}
