// The addon's state for one device of one Node environment (the main thread's, or a worker's): the queue, JavaScript's
// view of storages, the words of calls, and the promises of reads. It lives until its Node environment is cleaned up.
#pragma once
#include <napi.h>

#include <memory>
#include <mutex>
#include <optional>

#include "../core/isa.h"
#include "../core/memory.h"
#include "../core/queue.h"
#include "decoder.h"
#include "handles.h"

namespace firesteel {

// An Int32Array or Float64Array whose memory C++ uses between calls.
template <class T>
class PinnedArray {
 public:
  // False unless `value` is a typed array of this type.
  static bool fits(const Napi::Value& value);
  void pin(const Napi::Value& value);
  T* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  Napi::Reference<Napi::Value> reference_;
  T* data_ = nullptr;
  size_t size_ = 0;
};

// A read for which a promise waits. The array is not touched until it is done.
struct PendingRead : Read {
  PendingRead(const Read& read, const Napi::Value& array)
      : Read(read), deferred(array.Env()), array(Napi::Persistent(array)), announcement(read.bytes) {}
  // A load from a file.
  PendingRead(const Read& load, Napi::Env env) : Read(load), deferred(env) {}
  void resolve() noexcept;

  Napi::Promise::Deferred deferred;
  Napi::Reference<Napi::Value> array;  // empty for a load
  std::optional<Announcement> announcement;
  PendingRead* next = nullptr;  // the next of the finished ones
};

class Environment {
 public:
  static constexpr int max_threads = 256;

  // Throws if it cannot open. Otherwise Node's cleanup of `env` deletes it.
  static Environment* open(Napi::Env env, Isa isa, int threads);
  static Environment* open(Napi::Env env, std::unique_ptr<Executor> executor);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  // The functions that JavaScript calls: see lib/backend/native/addon.ts. Each throws a Napi::Error if its arguments
  // are invalid.
  void call(size_t object_count, const napi_value* objects);
  void release(int32_t handle);
  // Releases the first `count` handles of the array that set_handles() was given.
  void release_all(int32_t count);
  void track(int32_t handle, Napi::Value object);
  int32_t poll(bool major);
  // Writes the part of a storage that begins at byte_offset. The first part allocates the whole storage.
  void upload(int32_t handle, double byte_offset, Napi::Value array, bool may_wait);
  // Reads an open file into the part of a storage that begins at byte_offset and has so many bytes, as `upload` would
  // write it. If the code of a 16-bit dtype is given and not -1, the file has elements of that, which become float32.
  // The promise resolves to whether the file had all bytes.
  Napi::Value load(int32_t handle, double byte_offset, int32_t file, double position, double bytes, int32_t dtype);
  Napi::Value read(int32_t handle, double byte_offset, Napi::Value array);
  // Returns false if the queue is busy and `wait` is not set.
  bool read_now(int32_t handle, double byte_offset, Napi::Value array, bool wait);
  void finish() { queue_.finish(); }
  // [code, kernel, module label, text] of the first error since the last call, or null.
  Napi::Value take_error();

  // Watches for a garbage collection. Nothing else holds the watched object, so a collection has happened once it is
  // gone.
  void watch(Napi::Object object) { watched_ = Napi::Weak(object); }
  bool watched_lives() { return !watched_.IsEmpty() && !watched_.Value().IsEmpty(); }

  void set_words(Napi::Value ints, Napi::Value doubles);
  void set_handles(Napi::Value sizes, Napi::Value freed);
  void set_status(Napi::Value status);

  size_t live_bytes() { return queue_.live_bytes(); }
  size_t reserved_bytes() { return queue_.reserved_bytes(); }
  size_t available_bytes() { return queue_.executor().available_bytes(); }
  size_t total_bytes() { return queue_.executor().total_bytes(); }
  void flush();
  int thread_count() { return queue_.context().pool.threads(); }
  void set_thread_count(int32_t threads);
  // The executor, with nothing queued before it. Work that it has started may still run.
  Executor& drained() {
    queue_.drain();
    return queue_.executor();
  }
  // Applies to later calls.
  void allow_tf32(bool allowed) {
    queue_.finish();
    queue_.executor().allow_tf32(allowed);
  }

 private:
  Environment(Napi::Env env, Isa isa, int threads);
  Environment(Napi::Env env, std::unique_ptr<Executor> executor);
  template <class... Device>
  static Environment* start(Napi::Env env, Device... device);
  // The memory of a typed array.
  Read decode_array(const char* what, const Napi::Value& array) const;
  Read decode_read(int32_t handle, double byte_offset, const Napi::Value& array) const;
  napi_ref make_reference(napi_value object) const;
  Napi::Promise promised(const PendingRead& pending);
  [[noreturn]] void fail(const char* text) const;
  static void read_done(void* owner, Read* read);
  PendingRead* take_reads();
  static void resolve_reads(Napi::Env env, Napi::Function, Environment* self, void*);

  Napi::Env env_;
  Napi::TypedThreadSafeFunction<Environment, void, resolve_reads> reads_function_;
  HandleTable handles_;
  Decoder decoder_;
  Napi::ObjectReference watched_;
  PinnedArray<int32_t> ints_, freed_, status_;
  PinnedArray<double> doubles_, sizes_;

  std::mutex reads_mutex_;
  PendingRead *reads_ = nullptr, **last_read_ = &reads_;  // finished, in order
  int reads_pending_ = 0;                                 // promises not yet resolved

  Queue queue_;  // last, because its thread uses the members above
};

}  // namespace firesteel
