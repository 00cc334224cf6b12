// A kernel call as the queue holds it, and the table's row of each kernel.
#pragma once
#include <stdint.h>

#include <vector>

#include "kernel.h"

namespace firesteel {

struct KernelTable;
struct Call;

// The underscores keep the names apart from keywords.
enum class Role : uint8_t {
  out_,
  place_,
  inout_,
  update_,
  in_,
  strided_,
  number_,
  integer_,
  integers_,
  flag_,
  philox_
};
enum class Arity : uint8_t { one, optional, list };

struct ArgumentInfo {
  const char* name;
  Role role;
  Arity arity;
  uint16_t dtypes;  // bit d: DType(d) is allowed
  bool same;        // the argument has the call's dtype T
};

constexpr int max_arguments = 20;
// Arguments that are vectors of integers.
constexpr int max_vectors = 6;

struct KernelInfo {
  const char* name;
  bool heavy;
  int argument_count;
  ArgumentInfo arguments[max_arguments];
  void (*run)(const KernelTable& table, Context& context, const Call& call);
  const char* family = "";
};

// The source of a view's memory. Each View of a call has one.
struct Place {
  int32_t handle;        // -1: an optional argument that is absent
  bool written = false;  // whether the call writes the view
  bool early = false;    // whether the producer has already set the view's memory
  int64_t byte_offset;   // of the first element
  int64_t fresh_bytes;   // -1, or the bytes of the storage that this call makes
};

// Vectors grow and never shrink, because the queue reuses its calls, so that no call allocates in the long run.
// Therefore the counts tell how many items are valid, and the vectors' sizes do not.
struct Call {
  const KernelInfo* kernel = nullptr;
  int32_t label = 0;

  // Tensors in the order of the arguments. An absent tensor has a null view. Lists are left out.
  int view_count = 0;
  std::vector<View> views;
  std::vector<Place> places;

  // The members of all lists, one list after the other.
  int64_t item_count = 0;
  std::vector<View> items;
  std::vector<Place> item_places;
  int list_count = 0;
  ViewList lists[max_arguments];

  double numbers[max_arguments];
  Integers integers[max_vectors];
  int64_t integer_items[max_vectors][max_dims];  // the memory that `integers` point to
  Philox philox[max_arguments];

  const View* optional(int index) const {
    const auto i = static_cast<size_t>(index);
    return places[i].handle < 0 ? nullptr : &views[i];
  }
};

}  // namespace firesteel
