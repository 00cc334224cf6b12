// Reads a call out of the words that JavaScript wrote, and checks all of it: whatever the words are, a decoded call
// touches no memory outside of live storages.
//
//   ints     kernel, module label; then per tensor handle, dtype | ndim << 8 | tracked << 16, where an absent optional
//            argument is the handle -1 alone, and a list is its count and its tensors
//   doubles  per tensor offset, sizes, strides (elements); then in the same order of arguments numbers, integers, flags
//            (0 or 1) and for a position in a random stream seed, stream, offset
//
// `tracked` says that the storage is made by this call and that its JavaScript object is an argument of the N-API call.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../core/call.h"
#include "handles.h"

namespace firesteel {

struct Words {
  const int32_t* ints = nullptr;
  size_t int_count = 0;
  const double* doubles = nullptr;
  size_t double_count = 0;
};

int kernel_count();
const KernelInfo& kernel_info(int kernel);

class Decoder {
 public:
  // More than any kernel has outputs.
  static constexpr int max_made = 8;

  // False: see error().
  bool decode(const Words& words, HandleTable& handles, Call& call);
  const char* error() const { return error_; }

  // Of the last decoded call: the storages it makes, those whose objects come along, its elements.
  int made_count() const { return made_count_; }
  int32_t made(int i) const { return made_[i]; }
  bool made_tracked(int i) const { return tracked_[i]; }
  int tracked_count() const { return tracked_count_; }
  int64_t elements() const { return elements_; }

 private:
  // Elements of the storage: the view's first one, and the lowest and highest that it touches.
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
  bool decode_tensor(const ArgumentInfo& argument, View& view, Place& place);
  bool decode_shape(const ArgumentInfo& argument, View& view, Range* range);
  static bool stretch(const View& view, Range* range);
  bool decode_storage(const ArgumentInfo& argument, const View& view, Place& place, const Range& range);
  bool check_aliases(const Call& call);

  Words words_;
  size_t next_int_ = 0, next_double_ = 0;
  HandleTable* handles_ = nullptr;
  const KernelInfo* kernel_ = nullptr;
  int dtype_ = -1;  // T of the call, once known
  uint32_t stamp_ = 0;
  bool seen_twice_ = false;  // a written storage
  bool tracked_word_ = false;
  int value_count_ = 0, philox_count_ = 0;

  int made_count_ = 0, tracked_count_ = 0;
  int32_t made_[max_made];
  bool tracked_[max_made];
  int64_t elements_ = 0;
  char error_[256];
};

}  // namespace firesteel
