#include "decoder.h"

#include <stdarg.h>
#include <stdio.h>

#include <array>

namespace firesteel {
namespace {

constexpr double largest_integer = 9007199254740991.0;

static_assert(dtype_count <= 8 * sizeof ArgumentInfo::dtypes);

constexpr std::array<int8_t, dtype_count> make_shifts() {
  std::array<int8_t, dtype_count> shifts = {};
  for (size_t d = 0; d < dtype_count; d++) {
    if (dtype_block[d] > 1) continue;
    while (1 << shifts[d] < dtype_bytes[d]) shifts[d]++;
    if (1 << shifts[d] != dtype_bytes[d]) throw "this does not compile where an element is not 1, 2, 4, ... bytes";
  }
  return shifts;
}

// The base-2 logarithm of an element's bytes, of a dtype without blocks.
int element_shift(DType dtype) {
  static constexpr std::array<int8_t, dtype_count> shifts = make_shifts();
  return shifts[static_cast<size_t>(dtype)];
}

bool is_blocks(DType dtype) { return dtype >= first_block_dtype; }

// The bytes of `elements`, which are whole blocks if the dtype has blocks.
int64_t bytes_of(DType dtype, int64_t elements) {
  const auto d = static_cast<size_t>(dtype);
  return is_blocks(dtype) ? elements / dtype_block[d] * dtype_bytes[d] : elements << element_shift(dtype);
}

// Whether a view has only whole blocks: one dimension is a run of them, and the others step from block to block.
bool has_whole_blocks(const View& view, int64_t offset) {
  const int64_t block = dtype_block[static_cast<size_t>(view.dtype)];
  int runs = 0;
  bool whole = offset % block == 0;
  for (int d = 0; d < view.ndim; d++)
    if (view.strides[d] == 1 && view.sizes[d] % block == 0)
      runs++;
    else if (view.sizes[d] != 1)
      whole = whole && view.strides[d] % block == 0;
  return view.count == 0 || (whole && runs == 1);
}

bool makes(Role role) { return role == Role::out_ || role == Role::place_; }
bool writes(Role role) { return makes(role) || role == Role::inout_ || role == Role::update_; }

bool is_dense(const View& view) {
  int64_t expected = 1;
  for (int d = view.ndim - 1; d >= 0; d--) {
    if (view.sizes[d] != 1 && view.strides[d] != expected) return false;
    expected *= view.sizes[d];
  }
  return true;
}

bool overlaps_itself(const View& view) {
  for (int d = 0; d < view.ndim; d++)
    if (view.sizes[d] > 1 && view.strides[d] == 0) return true;
  return false;
}

// The first and the last byte that a view touches; an empty range if it has no elements.
struct Extent {
  int64_t first, end;
};

Extent extent(const View& view, const Place& place) {
  if (view.count == 0) return {0, 0};
  int64_t first = 0, end = 1;
  for (int d = 0; d < view.ndim; d++) {
    const int64_t span = (view.sizes[d] - 1) * view.strides[d];
    (span < 0 ? first : end) += span;
  }
  return {place.byte_offset + bytes_of(view.dtype, first), place.byte_offset + bytes_of(view.dtype, end)};
}

// Whether two views interleave without touching each other. They do if some dimensions of both step by a common stride,
// and the other dimensions stay apart within one step. Slices of one tensor along any dimension interleave so.
bool take_turns(const View& a, const Place& at_a, const View& b, const Place& at_b) {
  if (is_blocks(a.dtype) || is_blocks(b.dtype)) return false;
  const int64_t bytes = int64_t(1) << element_shift(a.dtype);
  for (int d = 0; d < a.ndim; d++) {
    const int64_t step = a.strides[d] * bytes;
    if (step <= 0) continue;
    // The end of the bytes reached by the dimensions that do not step by multiples of `step`.
    const auto reach = [step, bytes](const View& view) {
      int64_t end = bytes;
      for (int i = 0; i < view.ndim; i++) {
        const int64_t stride = view.strides[i] * bytes;
        if (stride < 0) return step + 1;
        if (stride % step != 0) end += (view.sizes[i] - 1) * stride;
      }
      return end;
    };
    int64_t apart = (at_b.byte_offset - at_a.byte_offset) % step;
    if (apart < 0) apart += step;
    if (reach(a) <= apart && apart + reach(b) <= step) return true;
  }
  return false;
}

// False unless the number is an integer that a double holds exactly.
[[gnu::always_inline]] inline bool to_integer(double number, int64_t* value) {
  if (!(number >= -largest_integer && number <= largest_integer)) return false;
  *value = static_cast<int64_t>(number);
  return static_cast<double>(*value) == number;
}

bool to_integer(int32_t number, int64_t* value) { return *value = number, true; }

template <class T>
void ensure(std::vector<T>& values, size_t size) {
  if (__builtin_expect(values.size() < size, 0)) values.resize(size + size / 2);
}

}  // namespace

bool Decoder::fail(const char* format, ...) {
  va_list values;
  va_start(values, format);
  vsnprintf(error_, sizeof error_, format, values);
  va_end(values);
  return false;
}

[[gnu::always_inline]] inline bool Decoder::read_int(int32_t* value) {
  if (next_int_ >= words_.int_count) return fail("the call is longer than its integer words");
  *value = words_.ints[next_int_++];
  return true;
}

[[gnu::always_inline]] inline bool Decoder::read_double(double* value) {
  if (next_double_ >= words_.double_count) return fail("the call is longer than its number words");
  *value = words_.doubles[next_double_++];
  return true;
}

[[gnu::always_inline]] inline bool Decoder::read_integer(int64_t* value) {
  double number = 0;
  if (!read_double(&number)) return false;
  return to_integer(number, value) || fail("%g is not a safe integer", number);
}

bool Decoder::decode(const Words& words, HandleList& handles, Call& call) {
  words_ = words;
  next_int_ = next_double_ = 0;
  handles_ = &handles;
  dtype_ = -1;
  seen_twice_ = false;
  value_count_ = vector_count_ = philox_count_ = made_count_ = object_count_ = 0;
  opened_ = handles.guard_is_open();
  elements_ = 0;
  stamp_ = handles.next_stamp();
  int32_t kernel = -1;
  if (!read_int(&kernel) || !read_int(&call.label)) return false;
  overtakes_ = (kernel & overtakes_flag) != 0;
  kernel &= ~overtakes_flag;
  if (kernel < 0 || static_cast<size_t>(kernel) >= kernel_rows.size()) return fail("there is no kernel %d", kernel);
  kernel_ = call.kernel = &kernel_rows[static_cast<size_t>(kernel)];
  call.view_count = call.list_count = 0;
  call.item_count = 0;
  for (int i = 0; i < kernel_->argument_count; i++)
    if (!decode_argument(kernel_->arguments[i], call)) return false;
  const View* items = call.items.data();
  for (int i = 0; i < call.list_count; i++) {
    call.lists[i].items = items;
    items += call.lists[i].size;
  }
  return !seen_twice_ || check_aliases(call);
}

bool Decoder::decode_argument(const ArgumentInfo& argument, Call& call) {
  if (argument.role >= Role::number_) return decode_value(argument, call);
  if (argument.arity == Arity::list) return decode_list(argument, call);
  const auto i = static_cast<size_t>(call.view_count++);
  ensure(call.views, i + 1);
  ensure(call.places, i + 1);
  return decode_tensor(argument, call.views[i], call.places[i]);
}

bool Decoder::decode_list(const ArgumentInfo& argument, Call& call) {
  int32_t size = 0;
  if (!read_int(&size)) return false;
  if (size < 0 || static_cast<size_t>(size) > words_.int_count)
    return fail("%s: a list of %d tensors does not fit the call's words", argument.name, size);
  const auto first = static_cast<size_t>(call.item_count);
  call.item_count += size;
  call.lists[call.list_count++].size = size;
  ensure(call.items, first + static_cast<size_t>(size));
  ensure(call.item_places, first + static_cast<size_t>(size));
  for (size_t i = first; i < first + static_cast<size_t>(size); i++)
    if (!decode_tensor(argument, call.items[i], call.item_places[i])) return false;
  return true;
}

bool Decoder::decode_integers(const ArgumentInfo& argument, Call& call) {
  int64_t size = 0;
  if (!read_integer(&size)) return false;
  if (size < 0 || size > max_dims)
    return fail("%s: has %lld integers, but may have 0 to %d", argument.name, static_cast<long long>(size), max_dims);
  const int i = vector_count_++;
  for (int64_t k = 0; k < size; k++)
    if (!read_integer(&call.integer_items[i][k])) return false;
  call.integers[i] = {call.integer_items[i], static_cast<int>(size)};
  return true;
}

bool Decoder::decode_value(const ArgumentInfo& argument, Call& call) {
  if (argument.role == Role::integers_) return decode_integers(argument, call);
  if (argument.role == Role::philox_) {
    int64_t seed = 0, stream = 0, offset = 0;
    if (!read_integer(&seed) || !read_integer(&stream) || !read_integer(&offset)) return false;
    if (seed < 0 || offset < 0 || stream < 0 || stream > UINT32_MAX)
      return fail("%s: seed and offset must be at least 0, and the stream a 32-bit number", argument.name);
    call.philox[philox_count_++] = {static_cast<uint64_t>(seed), static_cast<uint32_t>(stream),
                                    static_cast<uint64_t>(offset)};
    return true;
  }
  double& number = call.numbers[value_count_++];
  if (argument.role != Role::integer_) return read_double(&number);
  int64_t integer = 0;
  if (!read_integer(&integer)) return false;
  number = static_cast<double>(integer);
  return true;
}

bool Decoder::decode_tensor(const ArgumentInfo& argument, View& view, Place& place) {
  if (!read_int(&place.handle)) return false;
  if (place.handle == -1 && argument.arity == Arity::optional) return true;
  if (!handles_->valid(place.handle)) return fail("%s: %d is not a handle", argument.name, place.handle);
  int32_t word = 0;
  if (!read_int(&word)) return false;
  const int dtype = word & 0xff;
  const int32_t flags = word >> 16;
  view.ndim = (word >> 8) & 0xff;
  guard_ = flags & guard_flags;
  if (flags < 0 || flags >= 2 * joins_flag || (guard_ & (guard_ - 1)) != 0)
    return fail("%s: the flags %d are not a valid combination", argument.name, flags);
  if (dtype >= dtype_count || (argument.dtypes >> dtype & 1) == 0)
    return fail("%s: the kernel does not accept dtype %d", argument.name, dtype);
  if (argument.same) {
    if (dtype_ >= 0 && dtype_ != dtype)
      return fail("%s: has dtype %d, but the arguments before it have %d", argument.name, dtype, dtype_);
    dtype_ = dtype;
  }
  if (view.ndim > max_dims)
    return fail("%s: has %d dimensions, but may have at most %d", argument.name, view.ndim, max_dims);
  view.dtype = static_cast<DType>(dtype);
  Range range;
  if (!decode_shape(argument, flags, view, &range)) return false;
  if (is_blocks(view.dtype) && !has_whole_blocks(view, range.offset))
    return fail("%s: the view must consist of whole blocks", argument.name);
  return decode_storage(argument, view, place, range);
}

bool Decoder::decode_shape(const ArgumentInfo& argument, int32_t flags, View& view, Range* range) {
  if (flags & dense_flag) return decode_dense(argument, view, range);
  const size_t length = 1 + 2 * static_cast<size_t>(view.ndim);
  if (flags & wide_flag) {
    if (words_.double_count - next_double_ < length) return fail("the call is longer than its number words");
    next_double_ += length;
    return decode_strided(argument, words_.doubles + next_double_ - length, view, range);
  }
  if (words_.int_count - next_int_ < length) return fail("the call is longer than its integer words");
  next_int_ += length;
  return decode_strided(argument, words_.ints + next_int_ - length, view, range);
}

// The fast path, which nearly all tensors take.
bool Decoder::decode_dense(const ArgumentInfo& argument, View& view, Range* range) {
  const int ndim = view.ndim;
  if (words_.int_count - next_int_ < static_cast<size_t>(ndim))
    return fail("the call is longer than its integer words");
  const int32_t* words = words_.ints + next_int_;
  next_int_ += static_cast<size_t>(ndim);
  int64_t count = 1;
  bool sound = true, empty = false, overflow = false;
  for (int d = ndim - 1; d >= 0; d--) {
    sound &= words[d] >= 0;
    empty |= words[d] == 0;
    view.sizes[d] = words[d];
    view.strides[d] = count;
    overflow |= __builtin_mul_overflow(count, view.sizes[d], &count);
  }
  if (!sound) return fail("%s: a size is negative", argument.name);
  view.count = empty ? 0 : count;
  *range = {0, 0, empty ? 0 : count - 1};
  return empty || !overflow || fail("%s: has more elements than a storage can hold", argument.name);
}

template <class Word>
bool Decoder::decode_strided(const ArgumentInfo& argument, const Word* words, View& view, Range* range) {
  const int ndim = view.ndim;
  bool sound = to_integer(words[0], &range->offset) && range->offset >= 0;
  bool empty = false, overflow = false;
  view.count = 1;
  for (int d = 0; d < ndim; d++) {
    sound = sound && to_integer(words[1 + d], &view.sizes[d]) && view.sizes[d] >= 0 &&
            to_integer(words[1 + ndim + d], &view.strides[d]);
    if (!sound) break;
    empty |= view.sizes[d] == 0;
    overflow |= __builtin_mul_overflow(view.count, view.sizes[d], &view.count);
  }
  if (!sound) return fail("%s: offset and sizes must be integers of at least 0, and strides integers", argument.name);
  range->low = range->high = range->offset;
  if (empty) return view.count = 0, true;
  if (argument.role == Role::out_ || argument.role == Role::inout_ || argument.role == Role::in_) {
    if (!overflow && !is_dense(view)) return fail("%s: must be dense", argument.name);
    overflow |= __builtin_add_overflow(range->high, view.count - 1, &range->high);
  } else {
    overflow |= !stretch(view, range);
    if (writes(argument.role) && view.count > 0 && overlaps_itself(view))
      return fail("%s: is written, but its elements overlap", argument.name);
  }
  return !overflow || fail("%s: has more elements than a storage can hold", argument.name);
}

bool Decoder::decode_storage(const ArgumentInfo& argument, const View& view, Place& place, const Range& range) {
  Handle& handle = (*handles_)[place.handle];
  int64_t bytes = handle.bytes;
  place.fresh_bytes = -1;
  if (!handle.live) {
    if (!makes(argument.role)) return fail("%s: %d is not a live storage", argument.name, place.handle);
    bytes = handles_->announced_bytes(place.handle);
    if (bytes < 0) return fail("%s: the size of its new storage was not announced", argument.name);
  }
  if (!handle.live && !made_by_call(place.handle)) {
    if (made_count_ == max_made) return fail("%s: a call can make at most %d storages", argument.name, max_made);
    place.fresh_bytes = bytes;
    made_[made_count_] = place.handle;
    guards_[made_count_++] = guard_;
    object_count_ += (guard_ & (own_flag | opens_flag)) != 0;
    opened_ |= guard_ == opens_flag;
    if (guard_ == joins_flag && !opened_) return fail("%s: joins a guard, but none is open", argument.name);
  } else if (guard_) {
    return fail("%s: has a guard, but storage %d exists already", argument.name, place.handle);
  }
  const auto dtype = static_cast<size_t>(view.dtype);
  const int64_t capacity =
      is_blocks(view.dtype) ? bytes / dtype_bytes[dtype] * dtype_block[dtype] : bytes >> element_shift(view.dtype);
  if (range.low < 0 || (view.count > 0 ? range.high >= capacity : range.high > capacity))
    return fail("%s: covers elements %lld to %lld, but its storage has %lld", argument.name,
                static_cast<long long>(range.low), static_cast<long long>(range.high),
                static_cast<long long>(capacity));
  place.byte_offset = bytes_of(view.dtype, range.offset);
  const bool written = writes(argument.role);
  place.written = written;
  place.early = false;
  if (handle.stamp == stamp_) {
    seen_twice_ |= written || handle.written;
    handle.written |= written;
  } else {
    handle.stamp = stamp_;
    handle.written = written;
  }
  if (__builtin_add_overflow(elements_, view.count, &elements_)) elements_ = INT64_MAX;
  return true;
}

// Whether an earlier argument makes the storage, because results may share one.
bool Decoder::made_by_call(int32_t handle) const {
  for (int i = 0; i < made_count_; i++)
    if (made_[i] == handle) return true;
  return false;
}

// The lowest and the highest element that the strides reach; false if they exceed 64 bits.
bool Decoder::stretch(const View& view, Range* range) {
  bool overflow = false;
  for (int d = 0; d < view.ndim; d++) {
    int64_t span;
    overflow |= __builtin_mul_overflow(view.sizes[d] - 1, view.strides[d], &span);
    int64_t* end = span < 0 ? &range->low : &range->high;
    overflow |= __builtin_add_overflow(*end, span, end);
  }
  return !overflow;
}

// Handles the rare case that another argument uses a storage that the call writes. This is allowed if the parts do not
// overlap.
bool Decoder::check_aliases(const Call& call) {
  struct Use {
    const View* view;
    const Place* place;
    bool written;
  };
  std::vector<Use> uses;
  size_t view = 0, item = 0;
  int list = 0;
  for (int i = 0; i < kernel_->argument_count; i++) {
    const ArgumentInfo& argument = kernel_->arguments[i];
    if (argument.role >= Role::number_) continue;
    const auto add = [&](const View& v, const Place& p) {
      if (p.handle >= 0 && (*handles_)[p.handle].written) uses.push_back({&v, &p, writes(argument.role)});
    };
    if (argument.arity != Arity::list) {
      add(call.views[view], call.places[view]);
      view++;
      continue;
    }
    for (int64_t k = call.lists[list++].size; k > 0; k--, item++) add(call.items[item], call.item_places[item]);
  }
  for (size_t i = 0; i < uses.size(); i++)
    for (size_t j = i + 1; j < uses.size(); j++) {
      const Use &a = uses[i], &b = uses[j];
      if (a.place->handle != b.place->handle || (!a.written && !b.written)) continue;
      const Extent x = extent(*a.view, *a.place), y = extent(*b.view, *b.place);
      if (x.first < y.end && y.first < x.end && !take_turns(*a.view, *a.place, *b.view, *b.place))
        return fail("storage %d is written, and another argument uses the same elements", a.place->handle);
    }
  return true;
}

}  // namespace firesteel
