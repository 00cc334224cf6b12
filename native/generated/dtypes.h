// Written by scripts/generate.ts from lib/core/dtype.ts. Do not edit.
#pragma once
#include <stdint.h>

namespace firesteel {

enum class DType : uint8_t { float32, bfloat16, float16, int32, uint8, boolean };

constexpr int dtype_count = 6;
// By dtype: the name that programs use, and the bytes of an element.
static constexpr const char* dtype_names[] = {"float32", "bfloat16", "float16", "int32", "uint8", "bool"};
static constexpr int8_t dtype_bytes[] = {4, 2, 2, 4, 1, 1};

}  // namespace firesteel
