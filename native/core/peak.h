// Measurements of the most that this machine can do: multiply-adds from registers, and bytes from and to memory.
// Rooflines are drawn from them (Williams, Waterman, Patterson: "Roofline", CACM 2009).
//
// All threads start together, and the clock stops with the last. The best of many short windows counts, because other
// work on the machine can only slow it down. Each thread touches its own part of the memory first. Every byte that the
// loop names counts once as read or once as written, as in STREAM.
#pragma once
#include <stdint.h>

namespace firesteel {

// The loops of one instruction set (native/cpu/peak.cpp).
struct PeakLoops {
  struct Arithmetic {
    int64_t operations;            // per round; a multiply-add counts as two
    float (*run)(int64_t rounds);  // null if the instruction set has no such multiply-add
    bool (*present)();             // null: present with the instruction set
  };
  Arithmetic float32;
  Arithmetic bfloat16;  // products of bfloat16, summed in float32
  // `count` floats, a multiple of 128, in memory aligned to 64 bytes.
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
