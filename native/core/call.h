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
  bool same;        // has the dtype T of the call
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
  bool written = false;  // whether the call writes it
  bool early = false;    // whether the view has its memory already, from the producer
  int64_t byte_offset;   // of the first element
  int64_t fresh_bytes;   // not -1: the storage is made by this call, with so many bytes
};

// Vectors grow and never shrink, because the queue's calls are reused, and no call allocates in the long run. So the
// counts are valid, not the vectors' sizes.
struct Call {
  const KernelInfo* kernel = nullptr;
  int32_t label = 0;

  // Tensors in the order of the arguments, with null ones but without lists.
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
  int64_t integer_items[max_vectors][max_dims];  // what they point to
  Philox philox[max_arguments];

  const View* optional(int index) const {
    const auto i = static_cast<size_t>(index);
    return places[i].handle < 0 ? nullptr : &views[i];
  }
};

}  // namespace firesteel
