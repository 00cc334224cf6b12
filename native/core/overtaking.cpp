#include "overtaking.h"

#include <math.h>

#include <algorithm>
#include <new>

namespace firesteel {
namespace {

// A thread does this many multiply-adds, or passes this many elements, in about 0.2 milliseconds.
constexpr double brief_multiply_adds = 1 << 22;
constexpr int64_t brief_elements = 1 << 20;

}  // namespace

// The product of the three largest tensors of a product of matrices is the square of its multiply-adds. Other heavy
// kernels do a few times as many.
bool is_brief(const Call& call) {
  int64_t elements = 0;
  double largest[3] = {1, 1, 1};
  bool reads = false;
  const auto look = [&](const View& view, const Place& place) {
    if (place.handle == -1) return;
    reads |= !place.written;
    elements += std::min(view.count, brief_elements + 1);
    double count = static_cast<double>(view.count);
    for (double& other : largest)
      if (count > other) std::swap(count, other);
  };
  for (size_t i = 0; i < static_cast<size_t>(call.view_count); i++) look(call.views[i], call.places[i]);
  for (size_t i = 0; i < static_cast<size_t>(call.item_count); i++) {
    look(call.items[i], call.item_places[i]);
    if (elements > brief_elements) return false;
  }
  return reads && elements <= brief_elements &&
         (!call.kernel->heavy || sqrt(largest[0] * largest[1] * largest[2]) <= brief_multiply_adds);
}

Context* Overtaking::open(Context& errors_of) noexcept {
  try {
    leaving_.reserve(most_storages);
    if (!context_) context_ = std::make_unique<Context>(1, &errors_of);
  } catch (const std::bad_alloc&) {
  }
  return context_.get();
}

void* Overtaking::take(int32_t handle, size_t bytes, uint64_t done) noexcept {
  const auto has_room = [&] { return count_ < most_storages && bytes <= most_bytes && bytes_ <= most_bytes - bytes; };
  if (!has_room()) collect(done);
  void* data = has_room() ? context_->allocator.allocate(bytes) : nullptr;
  if (!data) return nullptr;
  (*this)[handle] = {data, bytes, 0, 0};
  bytes_ += bytes;
  count_++;
  return data;
}

void Overtaking::release(int32_t handle, uint64_t done) noexcept {
  Row& row = (*this)[handle];
  leaving_.push_back({row.data, row.bytes, row.touched});
  row = {};
  collect(done);
}

void Overtaking::collect(uint64_t done) noexcept {
  std::erase_if(leaving_, [&](const Leaving& it) {
    if (it.touched > done) return false;
    context_->allocator.release(it.data, it.bytes);
    bytes_ -= it.bytes;
    count_--;
    return true;
  });
}

}  // namespace firesteel
