// The addon's face to JavaScript: `open` starts a device and gives its functions. They take plain
// numbers, typed arrays and objects, check them, and hand them to the Environment.
#include <node_api.h>

#include <new>
#include <string>

#include "../core/machine.h"
#include "environment.h"

namespace firesteel {
namespace {

// Few, for Node fills up what a call does not bring.
constexpr size_t max_values = Decoder::max_made;

// The arguments of one call from JavaScript.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    void* data = nullptr;
    count_ = max_values;
    napi_get_cb_info(env, info, &count_, values_, nullptr, &data);
    environment_ = static_cast<Environment*>(data);
  }
  Environment& environment() const { return *environment_; }
  size_t count() const { return count_ < max_values ? count_ : max_values; }
  const napi_value* values() const { return values_; }
  // Absent arguments are undefined.
  napi_value value(size_t i) const { return values_[i]; }
  double number(size_t i) const {
    double number = 0;
    return napi_get_value_double(env_, values_[i], &number) == napi_ok ? number : -1;
  }
  int32_t handle(size_t i) const {
    const double number = this->number(i);
    return number >= 0 && number <= INT32_MAX ? static_cast<int32_t>(number) : -1;
  }
  bool flag(size_t i) const {
    bool flag = false;
    napi_get_value_bool(env_, values_[i], &flag);
    return flag;
  }

 private:
  napi_env env_;
  Environment* environment_;
  size_t count_;
  napi_value values_[max_values];
};

napi_value number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

napi_value boolean(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value text(napi_env env, const std::string& value) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

napi_value call(napi_env, const Arguments& args) {
  args.environment().call(args.count(), args.values());
  return nullptr;
}

napi_value release(napi_env, const Arguments& args) {
  args.environment().release(args.handle(0));
  return nullptr;
}

napi_value track(napi_env, const Arguments& args) {
  args.environment().track(args.handle(0), args.value(1));
  return nullptr;
}

napi_value poll(napi_env env, const Arguments& args) { return number(env, args.environment().poll(args.flag(0))); }

napi_value upload(napi_env, const Arguments& args) {
  args.environment().upload(args.handle(0), args.value(1));
  return nullptr;
}

napi_value read(napi_env, const Arguments& args) {
  return args.environment().read(args.handle(0), args.number(1), args.value(2));
}

napi_value read_now(napi_env env, const Arguments& args) {
  return boolean(env, args.environment().read_now(args.handle(0), args.number(1), args.value(2), args.flag(3)));
}

napi_value finish(napi_env, const Arguments& args) {
  args.environment().queue().finish();
  return nullptr;
}

napi_value watch(napi_env, const Arguments& args) {
  args.environment().watch(args.value(0));
  return nullptr;
}

napi_value watched_lives(napi_env env, const Arguments& args) {
  return boolean(env, args.environment().watched_lives());
}

napi_value words(napi_env, const Arguments& args) {
  args.environment().set_words(args.value(0), args.value(1));
  return nullptr;
}

napi_value handles(napi_env, const Arguments& args) {
  args.environment().set_handles(args.value(0), args.value(1));
  return nullptr;
}

napi_value status(napi_env, const Arguments& args) {
  args.environment().set_status(args.value(0));
  return nullptr;
}

// [code, kernel, module label, text] of the first error since the last call, or null.
napi_value take_error(napi_env env, const Arguments& args) {
  Context& context = args.environment().queue().context();
  napi_value result = nullptr;
  if (!context.failed.load()) return napi_get_null(env, &result), result;
  const RecordedError error = context.take_error();
  napi_create_array_with_length(env, 4, &result);
  napi_set_element(env, result, 0, number(env, static_cast<int32_t>(error.code)));
  napi_set_element(env, result, 1, text(env, error.op));
  napi_set_element(env, result, 2, number(env, error.label));
  napi_set_element(env, result, 3, text(env, error.text));
  return result;
}

napi_value live_bytes(napi_env env, const Arguments& args) {
  return number(env, static_cast<double>(args.environment().queue().context().allocator.live_bytes()));
}

napi_value reserved_bytes(napi_env env, const Arguments& args) {
  return number(env, static_cast<double>(args.environment().queue().context().allocator.reserved_bytes()));
}

napi_value flush(napi_env, const Arguments& args) {
  args.environment().queue().finish();
  args.environment().queue().context().allocator.flush();
  return nullptr;
}

napi_value thread_count(napi_env env, const Arguments& args) {
  return number(env, args.environment().queue().context().pool.threads());
}

napi_value set_thread_count(napi_env env, const Arguments& args) {
  const double threads = args.number(0);
  if (!(threads >= 1 && threads <= 256)) {
    napi_throw_error(env, "ERR_INTERNAL", "between 1 and 256 threads are possible");
    return nullptr;
  }
  args.environment().queue().finish();
  args.environment().queue().context().pool.resize(static_cast<int>(threads));
  return nullptr;
}

// No C++ exception may reach Node; only an exhausted C++ heap can throw here.
template <napi_value (*function)(napi_env, const Arguments&)>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    return function(env, Arguments(env, info));
  } catch (const std::bad_alloc&) {
    napi_throw_error(env, "ERR_MEMORY", "no memory for the bookkeeping of the device's queue");
    return nullptr;
  }
}

struct Function {
  const char* name;
  napi_callback callback;
};

constexpr Function functions[] = {
    {"call", guarded<call>},
    {"release", guarded<release>},
    {"track", guarded<track>},
    {"poll", guarded<poll>},
    {"upload", guarded<upload>},
    {"read", guarded<read>},
    {"readNow", guarded<read_now>},
    {"finish", guarded<finish>},
    {"watch", guarded<watch>},
    {"watchedLives", guarded<watched_lives>},
    {"words", guarded<words>},
    {"handles", guarded<handles>},
    {"status", guarded<status>},
    {"takeError", guarded<take_error>},
    {"liveBytes", guarded<live_bytes>},
    {"reservedBytes", guarded<reserved_bytes>},
    {"flush", guarded<flush>},
    {"threadCount", guarded<thread_count>},
    {"setThreadCount", guarded<set_thread_count>},
};

// open(isa | null) -> the functions above, isa, and the kernels' names in the order of their numbers.
napi_value open(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  char wanted[16] = "";
  size_t length = 0;
  const bool chosen = napi_get_value_string_utf8(env, args.value(0), wanted, sizeof wanted, &length) == napi_ok;
  const Isa isa = choose_isa(chosen ? wanted : nullptr);
  if (!isa.table) return napi_throw_error(env, "ERR_DEVICE", isa.name), nullptr;
  Environment* environment = Environment::open(env, isa, default_thread_count());
  if (!environment) return nullptr;
  napi_value exports;
  napi_create_object(env, &exports);
  for (const Function& function : functions) {
    napi_value value;
    napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.callback, environment, &value);
    napi_set_named_property(env, exports, function.name, value);
  }
  napi_set_named_property(env, exports, "isa", text(env, isa.name));
  napi_value kernels;
  napi_create_array_with_length(env, static_cast<size_t>(kernel_count()), &kernels);
  for (int i = 0; i < kernel_count(); i++)
    napi_set_element(env, kernels, static_cast<uint32_t>(i), text(env, kernel_info(i).name));
  napi_set_named_property(env, exports, "kernels", kernels);
  return exports;
}

}  // namespace
}  // namespace firesteel

NAPI_MODULE_INIT() {
  napi_value open;
  napi_create_function(env, "open", NAPI_AUTO_LENGTH, firesteel::open, nullptr, &open);
  napi_set_named_property(env, exports, "open", open);
  return exports;
}
