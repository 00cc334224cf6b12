// Reads a call from the words that JavaScript wrote, and checks every one: whatever they are, a decoded call touches no
// memory outside live storages.
//
//   ints     kernel, with a flag if the call may overtake, and module label; then per tensor handle,
//            dtype | ndim << 8 | flags << 16, and where its elements lie, where an absent optional argument is the
//            handle -1 alone, and a list is its count and its tensors
//   doubles  in the order of the arguments: of wide tensors where their elements lie, numbers, integers, flags (0 or
//            1), for a vector of integers its length and they, for a position in a random stream seed, stream, offset
//
// The place of a `dense` tensor is its sizes, and its elements start at the storage's first. The place of any other
// tensor is its offset, sizes and strides, in elements. These numbers are doubles if the tensor is `wide`, which means
// that 32 bits do not hold them. A storage that this call makes may have a guard (see handles.h). It either opens a
// guard of its own, or opens one that others may join, or joins the open one. The object of a guard that is opened is
// an argument of the N-API call.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../core/call.h"
#include "../core/kernel_infos.h"
#include "handle_list.h"

namespace firesteel {

// Flags of a tensor; at most one of the last three.
constexpr int32_t dense_flag = 1, wide_flag = 2, own_flag = 4, opens_flag = 8, joins_flag = 16;
constexpr int32_t guard_flags = own_flag | opens_flag | joins_flag;

// A flag of the call's first word.
constexpr int32_t overtakes_flag = 1 << 16;

struct Words {
  const int32_t* ints = nullptr;
  size_t int_count = 0;
  const double* doubles = nullptr;
  size_t double_count = 0;
};

class Decoder {
 public:
  // An upper bound of the outputs of one kernel.
  static constexpr int max_made = 8;

  // Returns false on a fault; see error().
  bool decode(const Words& words, HandleList& handles, Call& call);
  const char* error() const { return error_; }

  // The last decoded call: the storages it makes, their guards, the number of guard objects, and its elements.
  int made_count() const { return made_count_; }
  int32_t made(int i) const { return made_[i]; }
  int32_t made_guard(int i) const { return guards_[i]; }
  int object_count() const { return object_count_; }
  int64_t elements() const { return elements_; }
  // Whether the call may run before others that wait: see core/overtaking.h.
  bool overtakes() const { return overtakes_; }

 private:
  // The first element of the view within the storage, and the lowest and the highest element that it touches.
  struct Range {
    int64_t offset, low, high;
  };
  bool fail(const char* format, ...) __attribute__((format(printf, 2, 3), cold, noinline));
  inline bool read_int(int32_t* value);
  inline bool read_double(double* value);
  // An integer with magnitude of at most 2^53 - 1.
  inline bool read_integer(int64_t* value);
  bool decode_argument(const ArgumentInfo& argument, Call& call);
  bool decode_list(const ArgumentInfo& argument, Call& call);
  bool decode_value(const ArgumentInfo& argument, Call& call);
  bool decode_integers(const ArgumentInfo& argument, Call& call);
  bool decode_tensor(const ArgumentInfo& argument, View& view, Place& place);
  bool decode_dense(const ArgumentInfo& argument, View& view, Range* range);
  template <class Word>
  bool decode_strided(const ArgumentInfo& argument, const Word* words, View& view, Range* range);
  bool decode_shape(const ArgumentInfo& argument, int32_t flags, View& view, Range* range);
  static bool stretch(const View& view, Range* range);
  bool decode_storage(const ArgumentInfo& argument, const View& view, Place& place, const Range& range);
  bool made_by_call(int32_t handle) const;
  bool check_aliases(const Call& call);

  Words words_;
  size_t next_int_ = 0, next_double_ = 0;
  HandleList* handles_ = nullptr;
  const KernelInfo* kernel_ = nullptr;
  int dtype_ = -1;  // the call's dtype T, once it is known
  uint32_t stamp_ = 0;
  bool seen_twice_ = false;  // whether an argument uses a storage that the call writes
  int32_t guard_ = 0;        // flags of the current tensor
  int value_count_ = 0, vector_count_ = 0, philox_count_ = 0;

  int made_count_ = 0, object_count_ = 0;
  int32_t made_[max_made], guards_[max_made];
  bool opened_ = false, overtakes_ = false;
  int64_t elements_ = 0;
  char error_[256];
};

}  // namespace firesteel
