// The sizes by which factorisations cut their work, in a header so that tests find them. Only the shape decides.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::linalg {

constexpr int64_t shared_size = 256;      // rows or columns from which all threads share a matrix
constexpr int64_t chunk_work = 1 << 15;   // multiply-adds of a chunk, at least
constexpr int64_t cholesky_block = 64;    // columns that are factorised between two products
constexpr int64_t triangular_block = 64;  // rows that are solved between two products
constexpr int64_t lu_block = 32;
constexpr int64_t qr_block = 32;
constexpr int64_t turned_columns = 64;  // columns of eigenvectors in a chunk

}  // namespace firesteel::FIRESTEEL_ISA::linalg
