// Measurements of the most that this machine can do: multiply-adds from registers, and bytes from and to memory.
// Rooflines are drawn from these (Williams, Waterman, Patterson: "Roofline", CACM 2009).
//
// All threads start together, and the clock stops with the last. The best of many short windows counts, because
// anything else that runs on the machine can only slow it down. Each thread touches its own part of the memory first.
// Bytes are those that the loop names, once read and once written, as STREAM counts them.
#pragma once
#include <stdint.h>

namespace firesteel {

// The loops of one instruction set (native/cpu/peak.cpp).
struct PeakLoops {
  struct Arithmetic {
    int64_t operations;            // of a round; a multiply-add is two
    float (*run)(int64_t rounds);  // null where the instruction set has no such multiply-add
    bool (*present)();             // null: with the instruction set
  };
  Arithmetic float32;
  Arithmetic bfloat16;  // products of bfloat16, summed in float32
  // `count` floats, a multiple of 128; memory aligned to 64 bytes.
  float (*read)(const float* x, int64_t count);
  void (*copy)(float* out, const float* x, int64_t count);
  void (*copy_past_caches)(float* out, const float* x, int64_t count);
};

// Operations per second; 0 if this CPU has no such instructions.
double multiply_add_peak(const PeakLoops::Arithmetic& loop, int threads, double seconds);

enum class Traffic { read, copy };

// Bytes per second over a working set of this many bytes, repeatedly; 0 if there is no memory for it.
double bandwidth(const PeakLoops& loops, Traffic traffic, int64_t bytes, int threads, double seconds);

}  // namespace firesteel
