// The arguments of the kernels of indexing, from the host (indexing.cpp) to the device (indexing.cu).
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

constexpr int index_dims = 8;

// Rows by an index of one dimension: the large tensor is [outer, size, inner], the small one [outer, count, inner].
struct RowIndex {
  void* out;
  const void* x;
  const int32_t* index;
  uint64_t* wrong;  // the slot for an index that is out of range
  int64_t outer, count, inner;
  int32_t size;
  int64_t skip;  // the index that adds nothing; -1 if there is none
};

// Single elements: element k of line l of the small tensor has index[l, k], along `dim` of the large one.
struct ElementIndex {
  void* large;
  void* small;
  const int32_t* index;
  uint64_t* wrong;
  int64_t lines;
  int32_t length, size;
  int32_t dims;
  Divisor divisors[index_dims];  // of a line's number, from the innermost dimension on, without `dim`
  int64_t index_strides[index_dims], large_strides[index_dims], small_strides[index_dims];
  int64_t index_step, large_step, small_step;  // along `dim`
};

}  // namespace firesteel::cuda
