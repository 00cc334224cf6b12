// Reading of files that JavaScript has opened.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace firesteel {

// Reads `bytes` from a place of an open file on, whose number is Node's. Several threads may read at once. Returns
// false if the file ends before, or cannot be read.
bool read_file(int file, int64_t position, char* to, size_t bytes);

}  // namespace firesteel
