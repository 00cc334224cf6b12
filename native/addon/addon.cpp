// The addon's face to JavaScript: `open` starts a device and gives its functions. They take plain
// numbers, typed arrays and objects, check them, and hand them to the Environment.
#include <node_api.h>

#include <memory>
#include <new>
#include <string>
#include <utility>

#include "../core/machine.h"
#include "../core/peak.h"
#include "cuda_executor.h"
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
  args.environment().upload(args.handle(0), args.value(1), args.flag(2));
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
  return number(env, static_cast<double>(args.environment().queue().executor().live_bytes()));
}

napi_value reserved_bytes(napi_env env, const Arguments& args) {
  return number(env, static_cast<double>(args.environment().queue().executor().reserved_bytes()));
}

napi_value available_bytes(napi_env env, const Arguments& args) {
  return number(env, static_cast<double>(args.environment().queue().executor().available_bytes()));
}

napi_value flush(napi_env, const Arguments& args) {
  args.environment().queue().finish();
  args.environment().queue().executor().flush();
  return nullptr;
}

// The loops of the instruction set that argument 0 names; null where there is none such.
const PeakLoops* peak_loops(napi_env env, const Arguments& args) {
  char name[16] = "";
  size_t length = 0;
  napi_get_value_string_utf8(env, args.value(0), name, sizeof name, &length);
  return choose_isa(name).peak;
}

int thread_argument(const Arguments& args, size_t i) {
  const double threads = args.number(i);
  return threads >= 1 && threads <= 256 ? static_cast<int>(threads) : 1;
}

// multiplyAddPeak(isa, whether of bfloat16, threads, seconds)
napi_value multiply_add_peak(napi_env env, const Arguments& args) {
  args.environment().queue().finish();
  const PeakLoops* loops = peak_loops(env, args);
  if (!loops) return number(env, 0);
  const PeakLoops::Arithmetic& loop = args.flag(1) ? loops->bfloat16 : loops->float32;
  return number(env, multiply_add_peak(loop, thread_argument(args, 2), args.number(3)));
}

// bandwidth(isa, whether of a copy, bytes of the working set, threads, seconds)
napi_value bandwidth(napi_env env, const Arguments& args) {
  args.environment().queue().finish();
  const PeakLoops* loops = peak_loops(env, args);
  if (!loops) return number(env, 0);
  const Traffic traffic = args.flag(1) ? Traffic::copy : Traffic::read;
  const double bytes = args.number(2);
  const int threads = thread_argument(args, 3);
  return number(env,
                bytes >= 0 && bytes < 1e15 ? bandwidth(*loops, traffic, int64_t(bytes), threads, args.number(4)) : 0);
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
    {"availableBytes", guarded<available_bytes>},
    {"flush", guarded<flush>},
    {"threadCount", guarded<thread_count>},
    {"setThreadCount", guarded<set_thread_count>},
};

constexpr Function cpu_functions[] = {
    {"multiplyAddPeak", guarded<multiply_add_peak>},
    {"bandwidth", guarded<bandwidth>},
};

void add_function(napi_env env, napi_value object, const Function& function, Environment* environment) {
  napi_value value;
  napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.callback, environment, &value);
  napi_set_named_property(env, object, function.name, value);
}

// The functions above over a started device, and the kernels' names in the order of their numbers, null where the
// device lacks one.
template <class HasKernel>
napi_value make_device(napi_env env, Environment* environment, const HasKernel& has_kernel) {
  napi_value device;
  napi_create_object(env, &device);
  for (const Function& function : functions) add_function(env, device, function, environment);
  napi_value kernels, null;
  napi_create_array_with_length(env, kernel_rows.size(), &kernels);
  napi_get_null(env, &null);
  for (uint32_t i = 0; i < kernel_rows.size(); i++)
    napi_set_element(env, kernels, i, has_kernel(i) ? text(env, kernel_rows[i].name) : null);
  napi_set_named_property(env, device, "kernels", kernels);
  return device;
}

// open(isa | null, threads | 0 for as many as there are cores) -> device, with `isa`.
napi_value open(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  char wanted[16] = "";
  size_t length = 0;
  const bool chosen = napi_get_value_string_utf8(env, args.value(0), wanted, sizeof wanted, &length) == napi_ok;
  const Isa isa = choose_isa(chosen ? wanted : nullptr);
  if (!isa.table) return napi_throw_error(env, "ERR_DEVICE", isa.name), nullptr;
  Environment* environment =
      Environment::open(env, isa, args.number(1) >= 1 ? thread_argument(args, 1) : usable_cores());
  if (!environment) return nullptr;
  const napi_value device = make_device(env, environment, [](uint32_t) { return true; });
  for (const Function& function : cpu_functions) add_function(env, device, function, environment);
  napi_set_named_property(env, device, "isa", text(env, isa.name));
  return device;
}

// openCuda(path of the CUDA library, index) -> device, with `model`.
napi_value open_cuda(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  std::string why, path(4096, '\0');
  size_t length = 0;
  if (napi_get_value_string_utf8(env, args.value(0), path.data(), path.size(), &length) != napi_ok)
    return napi_throw_error(env, "ERR_INTERNAL", "openCuda: a path is wanted"), nullptr;
  path.resize(length);
  std::unique_ptr<CudaExecutor> executor = CudaExecutor::open(path.c_str(), args.handle(1), &why);
  if (!executor) return napi_throw_error(env, "ERR_DEVICE", why.c_str()), nullptr;
  const CudaExecutor& gpu = *executor;
  Environment* environment = Environment::open(env, std::move(executor));
  if (!environment) return nullptr;
  const napi_value device = make_device(env, environment, [&](uint32_t kernel) { return gpu.has_kernel(kernel); });
  napi_set_named_property(env, device, "model", text(env, gpu.name()));
  return device;
}

// availableMemory() -> bytes that this process may still take, of the machine's memory and its control groups'.
napi_value available_memory(napi_env env, napi_callback_info) {
  try {
    return number(env, static_cast<double>(Commitments::of_process().left(1)));
  } catch (const std::bad_alloc&) {
    return number(env, 0);
  }
}

}  // namespace
}  // namespace firesteel

NAPI_MODULE_INIT() {
  napi_value open;
  napi_create_function(env, "open", NAPI_AUTO_LENGTH, firesteel::open, nullptr, &open);
  napi_set_named_property(env, exports, "open", open);
  napi_value open_cuda;
  napi_create_function(env, "openCuda", NAPI_AUTO_LENGTH, firesteel::open_cuda, nullptr, &open_cuda);
  napi_set_named_property(env, exports, "openCuda", open_cuda);
  napi_value available_memory;
  napi_create_function(env, "availableMemory", NAPI_AUTO_LENGTH, firesteel::available_memory, nullptr,
                       &available_memory);
  napi_set_named_property(env, exports, "availableMemory", available_memory);
  return exports;
}
