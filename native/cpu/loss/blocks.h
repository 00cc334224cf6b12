// How losses of labels cut their work: what their tests are made of too. The shape alone decides.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::loss {

constexpr int64_t picked_rows = 4096;        // of a chunk of forward, which reads one element of each
constexpr int64_t cleared_elements = 65536;  // of a chunk of backward

}  // namespace firesteel::FIRESTEEL_ISA::loss
