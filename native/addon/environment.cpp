#include "environment.h"

#include <cmath>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include "../core/widen.h"

namespace firesteel {
namespace {

// A kernel of up to this many elements takes about 2 microseconds, less than it takes to tell another thread of it.
constexpr int64_t small_linear = 8192;
constexpr int64_t small_heavy = 16384;
constexpr double small_product = 0x1p28;

// The multiply-adds of a product of matrices are the square root of the product of its three tensors' element counts.
// Other heavy kernels do at most a few times as many. So a row times a matrix may be small where two matrices with as
// many elements are not.
bool is_small_product(const Call& call) {
  double largest[3] = {1, 1, 1};
  const auto look = [&](const View& view) {
    double count = static_cast<double>(view.count);
    for (double& other : largest)
      if (count > other) std::swap(count, other);
  };
  for (int64_t i = 0; i < call.view_count; i++) look(call.views[static_cast<size_t>(i)]);
  for (int64_t i = 0; i < call.item_count; i++) look(call.items[static_cast<size_t>(i)]);
  return largest[0] * largest[1] * largest[2] <= small_product;
}

}  // namespace

template <class T>
bool PinnedArray<T>::fits(const Napi::Value& value) {
  constexpr napi_typedarray_type type = sizeof(T) == sizeof(double) ? napi_float64_array : napi_int32_array;
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type;
}

template <class T>
void PinnedArray<T>::pin(const Napi::Value& value) {
  auto array = value.As<Napi::TypedArrayOf<T>>();
  reference_ = Napi::Persistent(value);
  data_ = array.Data();
  size_ = array.ElementLength();
}

Environment::Environment(Napi::Env env, Isa isa, int threads)
    : env_(env), queue_(*isa.table, threads, read_done, this) {}

Environment::Environment(Napi::Env env, std::unique_ptr<Executor> executor)
    : env_(env), queue_(std::move(executor), read_done, this) {}

Environment* Environment::open(Napi::Env env, Isa isa, int threads) { return start(env, isa, threads); }

Environment* Environment::open(Napi::Env env, std::unique_ptr<Executor> executor) {
  return start(env, std::move(executor));
}

template <class... Device>
Environment* Environment::start(Napi::Env env, Device... device) {
  std::unique_ptr<Environment> environment;
  try {
    environment.reset(new Environment(env, std::move(device)...));
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(env, "no memory for the device's queue");
  } catch (const std::system_error&) {
    throw Napi::Error::New(env, "the system cannot start a thread for the device's queue");
  }
  environment->queue_.ask([](void* owner) {
    // Node refuses this once the environment is ending. The refusal is not thrown, because that would make a JavaScript
    // error.
    const napi_env env = static_cast<Environment*>(owner)->env_;
    napi_value null;
    bool equal;
    return napi_get_null(env, &null) == napi_ok && napi_strict_equals(env, null, null, &equal) == napi_ok;
  });
  // The function is made before the hook: hooks run in reverse order, and the executor must be joined before Node
  // destroys the function.
  environment->reads_function_ = decltype(reads_function_)::New(env, "firesteel reads", 0, 1, environment.get());
  environment->reads_function_.Unref(env);
  if (env.AddCleanupHook([](Environment* ended) { delete ended; }, environment.get()).IsEmpty())
    throw Napi::Error::New(env, "Node refuses a function or hook that the addon needs to start");
  return environment.release();
}

Environment::~Environment() {
  queue_.stop();
  for (PendingRead *read = take_reads(), *next; read; read = next) {
    next = read->next;
    delete read;
  }
}

void Environment::fail(const char* text) const { throw Napi::Error::New(env_, text); }

napi_ref Environment::make_reference(napi_value object) const {
  napi_ref reference;  // Node refuses numbers and strings
  return napi_create_reference(env_, object, 0, &reference) == napi_ok ? reference : nullptr;
}

void Environment::call(size_t object_count, const napi_value* objects) {
  Entry& entry = queue_.next();
  entry.kind = Entry::Kind::call;
  const Words words = {ints_.data(), ints_.size(), doubles_.data(), doubles_.size()};
  if (!decoder_.decode(words, handles_, entry.call)) fail(decoder_.error());
  if (static_cast<size_t>(decoder_.object_count()) != object_count)
    fail("the number of objects differs from the number of guards that the call opens");
  handles_.reserve(object_count);
  napi_ref references[Decoder::max_made];
  for (size_t i = 0; i < object_count; i++) {
    references[i] = make_reference(objects[i]);
    if (references[i]) continue;
    while (i-- > 0) napi_delete_reference(env_, references[i]);
    fail("expected an object to guard the storage");
  }
  int next_reference = 0;
  for (int i = 0; i < decoder_.made_count(); i++) {
    const int32_t handle = decoder_.made(i);
    handles_[handle].live = true;
    handles_[handle].bytes = handles_.announced_bytes(handle);
    const int32_t guard = decoder_.made_guard(i);
    if (guard == joins_flag) {
      handles_.join(handle);
    } else if (guard) {
      handles_.track(env_, handle, references[next_reference++], guard == opens_flag);
    }
  }
  const int64_t elements = decoder_.elements();
  const bool heavy = entry.call.kernel->heavy;
  queue_.submit(heavy ? elements <= small_heavy && is_small_product(entry.call) : elements <= small_linear,
                decoder_.overtakes());
}

void Environment::release(int32_t handle) {
  if (!handles_.live(handle)) fail("only a live storage can be freed");
  handles_.release(env_, handle);
  queue_.release(handle);
}

void Environment::release_all(int32_t count) {
  const int32_t* handles = freed_.data();
  if (count < 0 || static_cast<size_t>(count) > freed_.size())
    fail("releaseAll: the count must be from 0 to the number of handles in the array");
  for (int32_t i = 0; i < count; i++) {
    // JavaScript no longer knows the handles before this one, so the queue must release them.
    if (!handles_.live(handles[i])) {
      if (i > 0) queue_.release(handles, static_cast<size_t>(i));
      fail("only a live storage can be freed");
    }
    handles_.release(env_, handles[i]);
  }
  if (count > 0) queue_.release(handles, static_cast<size_t>(count));
}

void Environment::track(int32_t handle, Napi::Value object) {
  if (!handles_.live(handle) || handles_[handle].guard >= 0) fail("only a live, untracked storage can be tracked");
  handles_.reserve(1);
  const napi_ref reference = make_reference(object);
  if (!reference) fail("expected an object to guard the storage");
  handles_.track(env_, handle, reference, false);
}

int32_t Environment::poll(bool major) {
  const int32_t count = handles_.poll(env_, major, freed_.data());
  if (count > 0) queue_.release(freed_.data(), static_cast<size_t>(count));
  return count;
}

void Environment::upload(int32_t handle, double byte_offset, Napi::Value array, bool may_wait) {
  if (!handles_.valid(handle)) fail("upload: not a valid handle");
  const bool fresh = !handles_[handle].live;
  const int64_t bytes = fresh ? handles_.announced_bytes(handle) : handles_[handle].bytes;
  if (bytes < 0) fail("upload: the size of the new storage was not announced");
  const Read source = decode_array("upload: not a typed array", array);
  if (!(byte_offset >= 0 && byte_offset <= static_cast<double>(bytes)) ||
      source.bytes > static_cast<size_t>(bytes) - static_cast<size_t>(byte_offset))
    fail("upload: the part extends beyond the storage");
  queue_.upload(handle, fresh ? bytes : -1, source.to, source.bytes, may_wait, static_cast<size_t>(byte_offset));
  if (fresh) handles_[handle] = {.bytes = bytes, .live = true};
}

// Takes an array over any buffer: shared, resizable, or detached, which has no bytes. Napi::TypedArray knows neither
// the element sizes of all kinds nor the memory of a shared buffer.
Read Environment::decode_array(const char* what, const Napi::Value& array) const {
  auto type = static_cast<napi_typedarray_type>(-1);  // remains for kinds that Node-API does not know
  size_t elements;
  Read read = {};
  if (napi_get_typedarray_info(env_, array, &type, &elements, &read.to, nullptr, nullptr) != napi_ok) fail(what);
  static constexpr size_t element_bytes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  if (static_cast<size_t>(type) >= sizeof element_bytes / sizeof *element_bytes) fail(what);
  read.bytes = elements * element_bytes[type];
  return read;
}

Read Environment::decode_read(int32_t handle, double byte_offset, const Napi::Value& array) const {
  if (!handles_.live(handle)) fail("read: not a live storage");
  Read read = decode_array("read: not a typed array", array);
  const int64_t bytes = handles_[handle].bytes;
  if (!(byte_offset >= 0 && byte_offset <= static_cast<double>(bytes)) ||
      read.bytes > static_cast<size_t>(bytes) - static_cast<size_t>(byte_offset))
    fail("read: the part extends beyond the storage");
  read.handle = handle;
  read.byte_offset = static_cast<size_t>(byte_offset);
  return read;
}

bool Environment::read_now(int32_t handle, double byte_offset, Napi::Value array, bool wait) {
  const Read read = decode_read(handle, byte_offset, array);
  if (!wait && !queue_.settled()) return queue_.read_early(read);
  const Announcement announcement(queue_.idle() ? 0 : read.bytes);
  if (queue_.finish()) queue_.read_now(read);
  return true;
}

Napi::Value Environment::read(int32_t handle, double byte_offset, Napi::Value array) {
  auto pending = std::make_unique<PendingRead>(decode_read(handle, byte_offset, array), array);
  const Napi::Promise promise = promised(*pending);
  Entry& entry = queue_.next();
  entry.kind = Entry::Kind::read;
  entry.read = pending.release();
  queue_.submit(false);
  return promise;
}

Napi::Value Environment::load(int32_t handle, double byte_offset, int32_t file, double position, double bytes,
                              int32_t dtype) {
  if (!handles_.valid(handle)) fail("load: not a valid handle");
  const bool fresh = !handles_[handle].live;
  const int64_t size = fresh ? handles_.announced_bytes(handle) : handles_[handle].bytes;
  if (size < 0) fail("load: the size of the new storage was not announced");
  const auto is_count = [](double number) { return number >= 0 && number < 0x1p53; };
  if (!is_count(byte_offset) || !is_count(bytes) || byte_offset + bytes > static_cast<double>(size))
    fail("load: the part extends beyond the storage");
  if (file < 0 || !is_count(position))
    fail("load: expected the number of an open file and a position of at least 0 in it");
  const bool widened = dtype >= 0;
  if (widened && !(dtype < dtype_count && is_widened(static_cast<DType>(dtype))))
    fail("load: only bfloat16 and float16 are widened");
  if (widened && (std::fmod(bytes, sizeof(float)) != 0 || std::fmod(byte_offset, sizeof(float)) != 0))
    fail("load: the part is not whole elements of float32");
  Read load = {};
  load.handle = handle;
  load.byte_offset = static_cast<size_t>(byte_offset);
  load.bytes = static_cast<size_t>(bytes);
  load.file = file;
  load.position = static_cast<int64_t>(position);
  if (widened) load.dtype = static_cast<DType>(dtype);
  auto pending = std::make_unique<PendingRead>(load, env_);
  const Napi::Promise promise = promised(*pending);
  if (fresh) handles_[handle] = {.bytes = size, .live = true};
  queue_.load(pending.release(), fresh ? size : -1);
  return promise;
}

// The promise of a read or load, which keeps Node alive until it is resolved.
Napi::Promise Environment::promised(const PendingRead& pending) {
  const Napi::Promise promise = pending.deferred.Promise();
  if (reads_pending_ == 0) reads_function_.Ref(env_);
  reads_pending_++;
  return promise;
}

// Runs on the queue's thread. One call of the function serves all reads that are done by then.
void Environment::read_done(void* owner, Read* read) {
  Environment* self = static_cast<Environment*>(owner);
  bool first;
  {
    std::lock_guard<std::mutex> lock(self->reads_mutex_);
    first = !self->reads_;
    PendingRead* const done = static_cast<PendingRead*>(read);
    done->announcement.reset();
    *self->last_read_ = done;
    self->last_read_ = &done->next;
  }
  if (first) self->reads_function_.NonBlockingCall();
}

PendingRead* Environment::take_reads() {
  std::lock_guard<std::mutex> lock(reads_mutex_);
  last_read_ = &reads_;
  return std::exchange(reads_, nullptr);
}

void Environment::resolve_reads(Napi::Env env, Napi::Function, Environment* self, void*) {
  if (!env) return;  // the environment ends; `self` is gone
  for (PendingRead *read = self->take_reads(), *next; read; read = next) {
    next = read->next;
    read->resolve();
    delete read;
    if (--self->reads_pending_ == 0) self->reads_function_.Unref(env);
  }
}

void PendingRead::resolve() noexcept {
  try {
    if (failed == ErrorCode::none)
      return deferred.Resolve(array.IsEmpty() ? Napi::Boolean::New(deferred.Env(), complete) : array.Value());
    // Only the first of several failures is recorded.
    Napi::Error error = Napi::Error::New(deferred.Env(), "the read failed; an earlier error says why");
    error.Set("code", failed == ErrorCode::memory ? "ERR_MEMORY" : "ERR_INTERNAL");
    deferred.Reject(error.Value());
  } catch (const Napi::Error&) {
    // The environment is ending, so nobody waits for the result.
  }
}

Napi::Value Environment::take_error() {
  Context& context = queue_.context();
  if (!context.failed.load()) return env_.Null();
  const RecordedError error = context.take_error();
  Napi::Array result = Napi::Array::New(env_, 4);
  result.Set(0u, static_cast<int32_t>(error.code));
  result.Set(1u, error.op);
  result.Set(2u, error.label);
  result.Set(3u, error.text);
  return result;
}

void Environment::set_words(Napi::Value ints, Napi::Value doubles) {
  if (!ints_.fits(ints) || !doubles_.fits(doubles)) fail("words: expected an Int32Array and a Float64Array");
  ints_.pin(ints);
  doubles_.pin(doubles);
}

void Environment::set_handles(Napi::Value sizes, Napi::Value freed) {
  const bool fit = sizes_.fits(sizes) && freed_.fits(freed);
  const size_t count = fit ? sizes.As<Napi::TypedArray>().ElementLength() : 0;
  if (!fit || freed.As<Napi::TypedArray>().ElementLength() < count || count < handles_.capacity() || count > INT32_MAX)
    fail("handles: expected a Float64Array and an Int32Array, no shorter than before");
  handles_.reserve_handles(count);  // may throw, so it comes before any change
  queue_.reserve(count);
  freed_.pin(freed);
  sizes_.pin(sizes);
  handles_.grow(count, sizes_.data());
}

void Environment::set_status(Napi::Value status) {
  if (!status_.fits(status) || status.As<Napi::TypedArray>().ElementLength() < 1)
    fail("status: expected an Int32Array with at least one element");
  queue_.finish();
  status_.pin(status);
  queue_.context().status = status_.data();
}

void Environment::flush() {
  queue_.finish();
  queue_.flush();
}

void Environment::set_thread_count(int32_t threads) {
  if (threads < 1 || threads > max_threads) fail("the number of threads must be from 1 to 256");
  queue_.finish();
  queue_.context().pool.resize(threads);
}

}  // namespace firesteel
