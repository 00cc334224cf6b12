// Arithmetic of sizes and counts, which are not negative. Each instruction set has its own copy: see core/kernel.h.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA {

static constexpr int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static constexpr int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
double min(double a, double b) = delete;  // otherwise a call with floats would lose their fractions
double max(double a, double b) = delete;

static constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static constexpr int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

}  // namespace firesteel::FIRESTEEL_ISA
