// Integers for a kernel, with their own memory.
#pragma once
#include <initializer_list>

#include "../core/kernel.h"

namespace firesteel::test {

struct Vector {
  int64_t items[max_dims] = {};
  int size = 0;
  Vector(std::initializer_list<int64_t> list) {
    for (const int64_t item : list) items[size++] = item;
  }
  operator Integers() const { return {items, size}; }
};

}  // namespace firesteel::test
