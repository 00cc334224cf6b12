// The instruction set for which a file is compiled, as a number for the preprocessor: `#if FIRESTEEL_ISA_NUMBER ==
// FIRESTEEL_ISA_avx2`. The compiler's own macros are not used, because they say AVX2 when AVX-512 is emulated.
#pragma once

#ifndef FIRESTEEL_ISA
#error "compile with -DFIRESTEEL_ISA=base, avx2, avx512 or neon"
#endif

#define FIRESTEEL_ISA_base 1
#define FIRESTEEL_ISA_avx2 2
#define FIRESTEEL_ISA_avx512 3
#define FIRESTEEL_ISA_neon 4
#define FIRESTEEL_PASTE_(a, b) a##b
#define FIRESTEEL_PASTE(a, b) FIRESTEEL_PASTE_(a, b)
#define FIRESTEEL_ISA_NUMBER FIRESTEEL_PASTE(FIRESTEEL_ISA_, FIRESTEEL_ISA)
