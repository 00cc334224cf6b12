// The addon's face to JavaScript: `open` starts a device and returns its functions. They take plain numbers, typed
// arrays and objects, check them, and hand them to the Environment.
//
// node-addon-api converts arguments and results and turns C++ exceptions into JavaScript errors; only `call` does
// without it.
#include <napi.h>

#include <functional>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "../core/machine.h"
#include "../core/peak.h"
#include "cuda_executor.h"
#include "environment.h"

namespace firesteel {
namespace {

template <class Value>
Value from(const Napi::Value& value) {
  return value.As<Value>();
}
template <>
Napi::Value from(const Napi::Value& value) {
  return value;
}
template <>
double from(const Napi::Value& value) {
  return value.As<Napi::Number>();
}
template <>
bool from(const Napi::Value& value) {
  return value.As<Napi::Boolean>();
}
template <>
std::string from(const Napi::Value& value) {
  return value.As<Napi::String>();
}
// A handle or a count. A number that can be neither becomes -1, because Node-API's own conversion would turn it into
// some valid handle.
template <>
int32_t from(const Napi::Value& value) {
  const double number = value.As<Napi::Number>();
  return number >= 0 && number <= INT32_MAX ? static_cast<int32_t>(number) : -1;
}

// Calls a function with arguments converted to its parameters' types. The first is the object that the JavaScript
// function belongs to.
template <class Function, class Result, class... Parameters, size_t... i>
Napi::Value apply(const Napi::CallbackInfo& info, const Function& function, Environment& environment,
                  std::type_identity<Result(Parameters...)>, std::index_sequence<i...>) {
  if constexpr (std::is_void_v<Result>) {
    std::invoke(function, environment, from<Parameters>(info[i])...);
    return info.Env().Undefined();
  } else {
    return Napi::Value::From(info.Env(), std::invoke(function, environment, from<Parameters>(info[i])...));
  }
}

template <class Result, class... Parameters>
Napi::Value apply(const Napi::CallbackInfo& info, Result (Environment::*method)(Parameters...), Environment& it) {
  return apply(info, method, it, std::type_identity<Result(Parameters...)>(), std::index_sequence_for<Parameters...>());
}
template <class Result, class... Parameters>
Napi::Value apply(const Napi::CallbackInfo& info, Result (*function)(Environment&, Parameters...), Environment& it) {
  return apply(info, function, it, std::type_identity<Result(Parameters...)>(),
               std::index_sequence_for<Parameters...>());
}

// Runs the body. Exceptions leave it with the code of an error of lib/core/errors.ts: only an exhausted C++ heap throws
// anything but a Napi::Error.
template <class Body>
auto coded(napi_env env, const Body& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    Napi::Error error = Napi::Error::New(env, "no memory for the bookkeeping of the device's queue");
    error.Set("code", "ERR_MEMORY");
    throw error;
  } catch (Napi::Error& error) {
    error.Set("code", "ERR_INTERNAL");
    throw;
  }
}

// Wraps a method of the environment, or a function that takes it first, as a JavaScript function.
template <auto function>
Napi::Value wrapped(const Napi::CallbackInfo& info) {
  return coded(info.Env(), [&] { return apply(info, function, *static_cast<Environment*>(info.Data())); });
}

// `call` is plain Node-API, because every operator calls it: an add of 16 elements takes 85 ns, and would take 89 ns
// with the wrapper. The wrapper costs every other function at most 3 ns of its 25 to 200 ns.
napi_value call(napi_env env, napi_callback_info info) {
  void* environment = nullptr;
  size_t count = Decoder::max_made;  // kept small: napi_get_cb_info fills unused slots with undefined
  napi_value guards[Decoder::max_made];
  napi_get_cb_info(env, info, &count, guards, nullptr, &environment);
  try {
    coded(env, [&] { static_cast<Environment*>(environment)->call(count, guards); });
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  }
  return nullptr;
}

bool is_thread_count(int32_t threads) { return threads >= 1 && threads <= Environment::max_threads; }

// Operations per second; 0 if the CPU or this build lacks the instruction set.
double multiply_add_peak(Environment& environment, std::string isa, bool bfloat16, int32_t threads, double seconds) {
  environment.finish();
  const PeakLoops* loops = choose_isa(isa.c_str()).peak;
  if (!loops || !is_thread_count(threads)) return 0;
  return multiply_add_peak(bfloat16 ? loops->bfloat16 : loops->float32, threads, seconds);
}

// Bytes per second over a working set of `bytes` bytes; 0 as above.
double bandwidth(Environment& environment, std::string isa, bool copy, double bytes, int32_t threads, double seconds) {
  environment.finish();
  const PeakLoops* loops = choose_isa(isa.c_str()).peak;
  if (!loops || !is_thread_count(threads) || !(bytes >= 0 && bytes < 1e15)) return 0;
  return bandwidth(*loops, copy ? Traffic::copy : Traffic::read, static_cast<int64_t>(bytes), threads, seconds);
}

// The GPU's functions. Nothing may be queued before them. They return the text of a failure, which is empty if there
// was none.
CudaExecutor& gpu_of(Environment& environment) { return static_cast<CudaExecutor&>(environment.drained()); }

std::string text_of(const char* error) { return error ? error : ""; }

std::string begin_capture(Environment& environment) { return text_of(gpu_of(environment).begin_capture()); }
// Returns the graph's number, or the text of a failure.
Napi::Value end_capture(const Napi::CallbackInfo& info) {
  return coded(info.Env(), [&]() -> Napi::Value {
    int graph = -1;
    const char* error = gpu_of(*static_cast<Environment*>(info.Data())).end_capture(&graph);
    return error ? Napi::Value::From(info.Env(), error) : Napi::Value::From(info.Env(), graph);
  });
}
std::string replay(Environment& environment, int32_t graph, Napi::Float64Array values) {
  return text_of(gpu_of(environment).replay(graph, values.Data(), values.ElementLength()));
}
void drop_graph(Environment& environment, int32_t graph) { gpu_of(environment).drop_graph(graph); }
double launches(Environment& environment) { return static_cast<double>(gpu_of(environment).launches()); }

// A started device as JavaScript sees it.
class Device {
 public:
  // `has_kernel` tells whether the device has the kernel with this number.
  template <class HasKernel>
  Device(Napi::Env env, Environment* environment, const HasKernel& has_kernel)
      : env_(env), environment_(environment), object_(Napi::Object::New(env)) {
    napi_value call_function;
    if (napi_create_function(env, "call", NAPI_AUTO_LENGTH, call, environment, &call_function) != napi_ok)
      throw Napi::Error::New(env);
    set("call", call_function);
    add<&Environment::release>("release");
    add<&Environment::release_all>("releaseAll");
    add<&Environment::track>("track");
    add<&Environment::poll>("poll");
    add<&Environment::upload>("upload");
    add<&Environment::load>("load");
    add<&Environment::read>("read");
    add<&Environment::read_now>("readNow");
    add<&Environment::finish>("finish");
    add<&Environment::watch>("watch");
    add<&Environment::watched_lives>("watchedLives");
    add<&Environment::set_words>("words");
    add<&Environment::set_handles>("handles");
    add<&Environment::set_status>("status");
    add<&Environment::take_error>("takeError");
    add<&Environment::live_bytes>("liveBytes");
    add<&Environment::reserved_bytes>("reservedBytes");
    add<&Environment::available_bytes>("availableBytes");
    add<&Environment::flush>("flush");
    add<&Environment::thread_count>("threadCount");
    add<&Environment::set_thread_count>("setThreadCount");
    const Napi::Array kernels = Napi::Array::New(env, kernel_rows.size());
    for (uint32_t i = 0; i < kernel_rows.size(); i++)
      kernels.Set(i, has_kernel(i) ? Napi::String::New(env, kernel_rows[i].name) : env.Null());
    set("kernels", kernels);
  }

  template <auto function>
  void add(const char* name) {
    set(name, Napi::Function::New<wrapped<function>>(env_, name, environment_));
  }
  // A function that takes the environment as its data.
  template <Napi::Value (*function)(const Napi::CallbackInfo&)>
  void add_plain(const char* name) {
    set(name, Napi::Function::New<function>(env_, name, environment_));
  }
  template <class Value>
  void set(const char* name, const Value& value) {
    object_.Set(name, value);
  }
  Napi::Object object() const { return object_; }

 private:
  Napi::Env env_;
  Environment* environment_;
  Napi::Object object_;
};

Napi::Error unavailable(Napi::Env env, const std::string& why) {
  Napi::Error error = Napi::Error::New(env, why);
  error.Set("code", "ERR_DEVICE");
  return error;
}

// open(isa | null, threads | 0 for one per core) -> device, with `isa`.
Napi::Value open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string wanted = info[0].IsString() ? from<std::string>(info[0]) : "";
  const Isa isa = choose_isa(info[0].IsString() ? wanted.c_str() : nullptr);
  if (!isa.table) throw unavailable(env, isa.name);
  const int32_t threads = from<int32_t>(info[1]);
  Environment* environment = Environment::open(env, isa, is_thread_count(threads) ? threads : usable_cores());
  Device device(env, environment, [](size_t) { return true; });
  device.add<&multiply_add_peak>("multiplyAddPeak");
  device.add<&bandwidth>("bandwidth");
  device.set("isa", isa.name);
  return device.object();
}

// openCuda(path of the CUDA library, index) -> device, with `model`.
Napi::Value open_cuda(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string why;
  std::unique_ptr<CudaExecutor> executor =
      CudaExecutor::open(from<std::string>(info[0]).c_str(), from<int32_t>(info[1]), &why);
  if (!executor) throw unavailable(env, why);
  const CudaExecutor& gpu = *executor;
  Device device(env, Environment::open(env, std::move(executor)),
                [&](size_t kernel) { return gpu.has_kernel(kernel); });
  device.add<&Environment::allow_tf32>("allowTf32");
  device.add<&Environment::total_bytes>("totalBytes");
  device.add<&begin_capture>("beginCapture");
  device.add_plain<end_capture>("endCapture");
  device.add<&replay>("replay");
  device.add<&drop_graph>("dropGraph");
  device.add<&launches>("launches");
  device.set("model", gpu.name());
  return device.object();
}

// availableMemory() -> bytes that this process may still take, by the machine and by its control groups.
Napi::Value available_memory(const Napi::CallbackInfo& info) {
  try {
    return Napi::Value::From(info.Env(), Commitments::of_process().left(1));
  } catch (const std::bad_alloc&) {
    return Napi::Value::From(info.Env(), 0);
  }
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("open", Napi::Function::New<open>(env, "open"));
  exports.Set("openCuda", Napi::Function::New<open_cuda>(env, "openCuda"));
  exports.Set("availableMemory", Napi::Function::New<available_memory>(env, "availableMemory"));
  return exports;
}

}  // namespace

NODE_API_MODULE(firesteel, init)

}  // namespace firesteel
