#include "environment.h"

#include <memory>
#include <new>
#include <system_error>
#include <utility>

namespace firesteel {
namespace {

// Up to here a kernel is done before another thread would have been told of it: about 2 microseconds.
constexpr int64_t small_linear = 8192;
constexpr int64_t small_heavy = 1024;

}  // namespace

bool PinnedArray::pin(napi_env env, napi_value value, napi_typedarray_type type) {
  napi_typedarray_type actual;
  size_t size;
  void* data;
  if (napi_get_typedarray_info(env, value, &actual, &size, &data, nullptr, nullptr) != napi_ok || actual != type)
    return false;
  napi_ref reference;
  if (napi_create_reference(env, value, 1, &reference) != napi_ok) return false;
  if (reference_) napi_delete_reference(env, reference_);
  reference_ = reference;
  data_ = data;
  size_ = size;
  return true;
}

Environment::Environment(napi_env env, Isa isa, int threads)
    : env_(env), queue_(*isa.table, threads, read_done, this) {}

Environment::Environment(napi_env env, std::unique_ptr<Executor> executor)
    : env_(env), queue_(std::move(executor), read_done, this) {}

Environment* Environment::open(napi_env env, Isa isa, int threads) { return start(env, isa, threads); }

Environment* Environment::open(napi_env env, std::unique_ptr<Executor> executor) {
  return start(env, std::move(executor));
}

template <class... Device>
Environment* Environment::start(napi_env env, Device... device) {
  std::unique_ptr<Environment> environment;
  try {
    environment.reset(new Environment(env, std::move(device)...));
  } catch (const std::bad_alloc&) {
    napi_throw_error(env, "ERR_INTERNAL", "no memory for the device's queue");
    return nullptr;
  } catch (const std::system_error&) {
    napi_throw_error(env, "ERR_INTERNAL", "the system gives no thread for the device's queue");
    return nullptr;
  }
  napi_value name;
  environment->queue_.ask([](void* owner) {
    // Node refuses this once the environment is ending.
    const napi_env env = static_cast<Environment*>(owner)->env_;
    napi_value null;
    bool equal;
    return napi_get_null(env, &null) == napi_ok && napi_strict_equals(env, null, null, &equal) == napi_ok;
  });
  // The function first, then the hook: hooks run in reverse order, and the executor must be joined before Node takes
  // the function away.
  if (napi_create_string_utf8(env, "firesteel reads", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, environment.get(),
                                      resolve_reads, &environment->reads_function_) != napi_ok ||
      napi_unref_threadsafe_function(env, environment->reads_function_) != napi_ok ||
      napi_add_env_cleanup_hook(env, clean_up, environment.get()) != napi_ok) {
    napi_throw_error(env, "ERR_INTERNAL", "Node refuses what the addon needs to start");
    return nullptr;
  }
  return environment.release();
}

void Environment::clean_up(void* environment) { delete static_cast<Environment*>(environment); }

Environment::~Environment() {
  queue_.stop();
  for (PendingRead *read = take_reads(), *next; read; read = next) {
    next = read->next;
    delete read;
  }
}

void Environment::fail(const char* text) { napi_throw_error(env_, "ERR_INTERNAL", text); }

napi_ref Environment::make_reference(napi_value object) {
  napi_ref reference;  // Node itself refuses numbers and strings
  return napi_create_reference(env_, object, 0, &reference) == napi_ok ? reference : nullptr;
}

void Environment::call(size_t object_count, const napi_value* objects) {
  Entry& entry = queue_.next();
  entry.kind = Entry::Kind::call;
  const Words words = {static_cast<const int32_t*>(ints_.data()), ints_.size(),
                       static_cast<const double*>(doubles_.data()), doubles_.size()};
  if (!decoder_.decode(words, handles_, entry.call)) return fail(decoder_.error());
  if (static_cast<size_t>(decoder_.object_count()) != object_count)
    return fail("the call does not bring the objects that guard what it makes");
  handles_.reserve(object_count);
  napi_ref references[Decoder::max_made];
  for (size_t i = 0; i < object_count; i++) {
    references[i] = make_reference(objects[i]);
    if (references[i]) continue;
    while (i-- > 0) napi_delete_reference(env_, references[i]);
    return fail("a storage's object is no object");
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
  queue_.submit(decoder_.elements() <= (entry.call.kernel->heavy ? small_heavy : small_linear));
}

void Environment::release(int32_t handle) {
  if (!handles_.live(handle)) return fail("a storage that does not live cannot be freed");
  handles_.release(env_, handle);
  queue_.release(handle);
}

void Environment::track(int32_t handle, napi_value object) {
  if (!handles_.live(handle) || handles_[handle].guard >= 0)
    return fail("only a live, untracked storage can be tracked");
  handles_.reserve(1);
  const napi_ref reference = make_reference(object);
  if (!reference) return fail("a storage's object is no object");
  handles_.track(env_, handle, reference, false);
}

int32_t Environment::poll(bool major) {
  int32_t* freed = static_cast<int32_t*>(freed_.data());
  const int32_t count = handles_.poll(env_, major, freed);
  if (count > 0) queue_.release(freed, static_cast<size_t>(count));
  return count;
}

void Environment::upload(int32_t handle, napi_value array, bool may_wait) {
  Read source;
  if (!handles_.valid(handle)) return fail("upload: no handle");
  const bool fresh = !handles_[handle].live;
  const int64_t bytes = fresh ? handles_.announced_bytes(handle) : handles_[handle].bytes;
  if (bytes < 0) return fail("upload: a storage of unknown size");
  if (!decode_array("upload: not a typed array", array, &source)) return;
  if (static_cast<int64_t>(source.bytes) != bytes) return fail("upload: the array's length is not the storage's");
  queue_.upload(handle, fresh ? bytes : -1, source.to, source.bytes, may_wait);
  if (fresh) handles_[handle] = {.bytes = bytes, .live = true};
}

// The memory of a typed array, whatever its buffer is: shared, resizable, or detached (of no bytes then).
bool Environment::decode_array(const char* what, napi_value array, Read* read) {
  auto type = static_cast<napi_typedarray_type>(-1);  // stays so for kinds that Node-API does not know
  size_t elements;
  if (napi_get_typedarray_info(env_, array, &type, &elements, &read->to, nullptr, nullptr) != napi_ok)
    return fail(what), false;
  static constexpr size_t element_bytes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  if (static_cast<size_t>(type) >= sizeof element_bytes / sizeof *element_bytes) return fail(what), false;
  read->bytes = elements * element_bytes[type];
  return true;
}

bool Environment::decode_read(int32_t handle, double byte_offset, napi_value array, Read* read) {
  if (!handles_.live(handle)) return fail("read: not a live storage"), false;
  if (!decode_array("read: not a typed array", array, read)) return false;
  const int64_t bytes = handles_[handle].bytes;
  if (!(byte_offset >= 0 && byte_offset <= static_cast<double>(bytes)) ||
      read->bytes > static_cast<size_t>(bytes) - static_cast<size_t>(byte_offset))
    return fail("read: outside of the storage"), false;
  read->handle = handle;
  read->byte_offset = static_cast<size_t>(byte_offset);
  return true;
}

bool Environment::read_now(int32_t handle, double byte_offset, napi_value array, bool wait) {
  if (!wait && !queue_.settled()) return false;
  Read read;
  if (!decode_read(handle, byte_offset, array, &read)) return true;
  const Announcement announcement(queue_.idle() ? 0 : read.bytes);
  if (queue_.finish()) queue_.read_now(read);
  return true;
}

napi_value Environment::read(int32_t handle, double byte_offset, napi_value array) {
  auto pending = std::make_unique<PendingRead>();
  if (!decode_read(handle, byte_offset, array, pending.get())) return nullptr;
  napi_value promise;
  if (napi_create_reference(env_, array, 1, &pending->array) != napi_ok ||
      napi_create_promise(env_, &pending->deferred, &promise) != napi_ok)
    return fail("read: Node makes no promise"), nullptr;
  pending->announcement.emplace(pending->bytes);
  if (reads_pending_++ == 0) napi_ref_threadsafe_function(env_, reads_function_);
  Entry& entry = queue_.next();
  entry.kind = Entry::Kind::read;
  entry.read = pending.release();
  queue_.submit(false);
  return promise;
}

// On the thread that runs the queue. One call of the function serves all reads that are done by then.
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
  if (first) napi_call_threadsafe_function(self->reads_function_, nullptr, napi_tsfn_nonblocking);
}

PendingRead* Environment::take_reads() {
  std::lock_guard<std::mutex> lock(reads_mutex_);
  last_read_ = &reads_;
  return std::exchange(reads_, nullptr);
}

void Environment::resolve_reads(napi_env env, napi_value, void* context, void*) {
  if (!env) return;  // the environment ends; `context` is gone
  Environment* self = static_cast<Environment*>(context);
  for (PendingRead *read = self->take_reads(), *next; read; read = next) {
    next = read->next;
    napi_value array;
    napi_get_reference_value(env, read->array, &array);
    napi_delete_reference(env, read->array);
    napi_resolve_deferred(env, read->deferred, array);
    delete read;
    if (--self->reads_pending_ == 0) napi_unref_threadsafe_function(env, self->reads_function_);
  }
}

void Environment::watch(napi_value object) {
  if (watched_) napi_delete_reference(env_, watched_);
  watched_ = make_reference(object);
}

bool Environment::watched_lives() const {
  napi_value object = nullptr;
  return watched_ && napi_get_reference_value(env_, watched_, &object) == napi_ok && object;
}

void Environment::set_words(napi_value ints, napi_value doubles) {
  if (!ints_.pin(env_, ints, napi_int32_array) || !doubles_.pin(env_, doubles, napi_float64_array))
    fail("words: an Int32Array and a Float64Array are wanted");
}

void Environment::set_handles(napi_value sizes, napi_value freed) {
  size_t count = 0, freed_count = 0;
  napi_get_typedarray_info(env_, sizes, nullptr, &count, nullptr, nullptr, nullptr);
  napi_get_typedarray_info(env_, freed, nullptr, &freed_count, nullptr, nullptr, nullptr);
  const bool fit = freed_count >= count && count >= handles_.capacity() && count <= INT32_MAX;
  if (fit) handles_.reserve_handles(count);  // may throw, so before anything is changed
  if (!fit || !freed_.pin(env_, freed, napi_int32_array) || !sizes_.pin(env_, sizes, napi_float64_array))
    return fail("handles: a Float64Array and an Int32Array, no shorter than before, are wanted");
  handles_.grow(count, static_cast<const double*>(sizes_.data()));
}

void Environment::set_status(napi_value status) {
  if (!status_.pin(env_, status, napi_int32_array) || status_.size() < 1)
    return fail("status: an Int32Array is wanted");
  queue_.finish();
  queue_.context().status = static_cast<int32_t*>(status_.data());
}

}  // namespace firesteel
