// All that the addon has for one device of one Node environment (the main thread's, or a worker's): the queue, what
// JavaScript knows of storages, the words that calls are read from, and the promises of reads. It lives until its Node
// environment is cleaned up.
#pragma once
#include <node_api.h>

#include <memory>
#include <mutex>
#include <optional>

#include "../core/isa.h"
#include "../core/memory.h"
#include "../core/queue.h"
#include "decoder.h"
#include "handles.h"

namespace firesteel {

// A typed array whose memory C++ uses between calls.
class PinnedArray {
 public:
  // False if `value` is no typed array of this type.
  bool pin(napi_env env, napi_value value, napi_typedarray_type type);
  void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  napi_ref reference_ = nullptr;
  void* data_ = nullptr;
  size_t size_ = 0;
};

// A read that a promise waits for. Until it is done, nobody has touched the array.
struct PendingRead : Read {
  napi_deferred deferred;
  napi_ref array;
  std::optional<Announcement> announcement;
  PendingRead* next = nullptr;  // of those that are done
};

class Environment {
 public:
  // Null after it has thrown a JavaScript error; else Node's cleanup of `env` deletes it.
  static Environment* open(napi_env env, Isa isa, int threads);
  static Environment* open(napi_env env, std::unique_ptr<Executor> executor);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  // Each throws a JavaScript error with code ERR_INTERNAL when its arguments make no sense.
  void call(size_t object_count, const napi_value* objects);
  void release(int32_t handle);
  void track(int32_t handle, napi_value object);
  int32_t poll(bool major);
  void upload(int32_t handle, napi_value array, bool may_wait);
  napi_value read(int32_t handle, double byte_offset, napi_value array);
  // False if the queue is busy and `wait` is not set.
  bool read_now(int32_t handle, double byte_offset, napi_value array, bool wait);

  // Whether a collection has happened: the watched object, held by nothing else, tells by its end.
  void watch(napi_value object);
  bool watched_lives() const;

  void set_words(napi_value ints, napi_value doubles);
  void set_handles(napi_value sizes, napi_value freed);
  void set_status(napi_value status);

  Queue& queue() { return queue_; }

 private:
  Environment(napi_env env, Isa isa, int threads);
  Environment(napi_env env, std::unique_ptr<Executor> executor);
  template <class... Device>
  static Environment* start(napi_env env, Device... device);
  bool decode_array(const char* what, napi_value array, Read* read);
  bool decode_read(int32_t handle, double byte_offset, napi_value array, Read* read);
  napi_ref make_reference(napi_value object);
  void fail(const char* text);
  static void read_done(void* owner, Read* read);
  PendingRead* take_reads();
  static void resolve_reads(napi_env env, napi_value callback, void* context, void* data);
  static void clean_up(void* environment);

  napi_env env_;
  napi_threadsafe_function reads_function_ = nullptr;
  HandleTable handles_;
  Decoder decoder_;
  napi_ref watched_ = nullptr;
  PinnedArray ints_, doubles_, sizes_, freed_, status_;

  std::mutex reads_mutex_;
  PendingRead *reads_ = nullptr, **last_read_ = &reads_;  // done, in order
  int reads_pending_ = 0;                                 // promised

  Queue queue_;  // last: its thread uses what stands above
};

}  // namespace firesteel
