// Written by scripts/generate.ts from lib/core/dtype.ts. Do not edit.
#pragma once
#include <stdint.h>

namespace firesteel {

enum class DType : uint8_t { float32, bfloat16, float16, int32, uint8, boolean, q8_0, q4_0, nf4 };

constexpr int dtype_count = 9;
// By dtype: the name that programs use, how many elements are stored together (1, or a block), and the bytes of these.
static constexpr const char* dtype_names[] = {"float32", "bfloat16", "float16", "int32", "uint8", "bool", "q8_0", "q4_0", "nf4"};
static constexpr int8_t dtype_block[] = {1, 1, 1, 1, 1, 1, 32, 32, 64};
static constexpr int8_t dtype_bytes[] = {4, 2, 2, 4, 1, 1, 34, 18, 36};
constexpr DType first_block_dtype = DType::q8_0;

}  // namespace firesteel
