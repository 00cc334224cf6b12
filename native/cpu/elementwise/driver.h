// The one loop of elementwise kernels: a dense result, up to three strided inputs, on all threads.
//
// The work is cut into chunks of a fixed number of elements. A chunk whose inputs are all dense is one call of the
// body; others go block by block through strided.h. A result too large for the caches is written past them (see
// simd/stream.h), straight from the registers of map_registers. A buffer in the first-level cache would make reads and
// writes of memory take turns, which costs as much as streaming saves.
//
// The driver knows a kernel's body as a function pointer. So the driver is compiled once per combination of element
// types, and a kernel is little more than its inner loop.
#pragma once
#include "../simd/half.h"
#include "../simd/stream.h"
#include "tiles.h"

namespace firesteel::FIRESTEEL_ISA {

// The elements that a thread takes at a time, which are about 10 us of memory traffic. A tensor of up to two chunks
// runs on the calling thread.
constexpr int64_t chunk_elements = 32768;

// Copies past the caches if the instruction set can and `to` is aligned. Bodies use it that do not write whole
// registers of `to`. simd::finish_streaming() follows the last copy of a chunk.
template <class T>
static inline void stream_out(T* to, const T* from, int64_t n) {
#if defined(__SSE2__)
  constexpr int64_t step = 16 / sizeof(T);
  if (reinterpret_cast<uintptr_t>(to) % 16 == 0) {
    int64_t i = 0;
    for (; i + step <= n; i += step) {
      __m128i part;
      memcpy(&part, from + i, sizeof part);
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), part);
    }
    for (; i < n; i++) to[i] = from[i];
    return;
  }
#endif
  memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
}

// call(self, stream, n, out, inputs...) computes n elements of dense memory. If `stream`, it writes past the caches.
template <class Out, class... In>
struct Body {
  void (*call)(const void* self, bool stream, int64_t n, Out* out, const In*... inputs);
  const void* self;
};
// A body made from a function of the same arguments, which must live as long as the body.
template <class Out, class... In, class F>
static inline Body<Out, In...> body_of(const F& function) {
  return {[](const void* self, bool stream, int64_t n, Out* out, const In*... inputs) {
            (*static_cast<const F*>(self))(stream, n, out, inputs...);
          },
          &function};
}

// Computes out[start, end) block by block. Inputs that are not dense are staged.
template <class Out, class... In>
static void run_blocks(Out* out, int64_t start, int64_t end, bool stream, const Body<Out, In...>& body,
                       const Reader<In>&... readers) {
  alignas(64) unsigned char room[sizeof...(In)][block_size * 4];
  int64_t row = 0;  // the shortest row that blocks should not straddle
  ((row = row_length(readers) > 0 && (row == 0 || row_length(readers) < row) ? row_length(readers) : row), ...);
  (prepare_buffer(readers, min(block_size, end - start), reinterpret_cast<In*>(room[readers.slot])), ...);
  while (start < end) {
    int64_t n = min(block_size, end - start);
    if (row > 0) n = min(n, row - start % row);
    body.call(body.self, stream, n, out + start,
              read_block(readers, start, n, reinterpret_cast<In*>(room[readers.slot]))...);
    start += n;
  }
}

template <class Out, class... In>
static void run_readers(Context& context, Out* out, int64_t count, const Body<Out, In...>& body,
                        const Reader<In>&... readers) {
  const bool stream = count * static_cast<int64_t>(sizeof(Out)) >= simd::streaming_bytes;
  const bool dense = ((readers.layout == Layout::dense) && ...);
  auto run = [&](int64_t start, int64_t end) {
    if (dense)
      body.call(body.self, stream, end - start, out + start, (readers.data + start)...);
    else
      run_blocks(out, start, end, stream, body, readers...);
    if (stream) simd::finish_streaming();
  };
  if (count <= 2 * chunk_elements) return run(0, count);
  parallel(context, ceil_div(count, chunk_elements),
           [&](int64_t chunk) { run(chunk * chunk_elements, min((chunk + 1) * chunk_elements, count)); });
}

// A call that does not come from dispatch must not reach memory outside its tensors.
template <class T>
static inline bool holds(Context& context, const View& view) {
  return expect(context, element_size(view.dtype) == sizeof(T),
                "elementwise: a tensor's dtype differs from the kernel's");
}
template <class T>
static inline bool fits(Context& context, const View& out, const View& input) {
  return holds<T>(context, input) &&
         expect(context, same_shape(out, input), "elementwise: an input's shape differs from the output's");
}

// Small dense calls skip the readers, which are most of the cost of a kernel of a few elements.
template <class Out, class A>
static void run(Context& context, const View& out, const View& a, Body<Out, A> body) {
  if (!holds<Out>(context, out) || !fits<A>(context, out, a) || out.count == 0) return;
  if (out.count <= 2 * chunk_elements && is_dense(a))
    return body.call(body.self, false, out.count, pointer<Out>(out), pointer<const A>(a));
  run_readers(context, pointer<Out>(out), out.count, body, open_reader<A>(context, a, 0));
}
template <class Out, class A, class B>
static void run(Context& context, const View& out, const View& a, const View& b, Body<Out, A, B> body) {
  if (!holds<Out>(context, out) || !fits<A>(context, out, a) || !fits<B>(context, out, b) || out.count == 0) return;
  if (out.count <= 2 * chunk_elements && is_dense(a) && is_dense(b))
    return body.call(body.self, false, out.count, pointer<Out>(out), pointer<const A>(a), pointer<const B>(b));
  run_readers(context, pointer<Out>(out), out.count, body, open_reader<A>(context, a, 0),
              open_reader<B>(context, b, 1));
}
template <class Out, class A, class B, class C>
static void run(Context& context, const View& out, const View& a, const View& b, const View& c,
                Body<Out, A, B, C> body) {
  if (!holds<Out>(context, out) || !fits<A>(context, out, a) || !fits<B>(context, out, b) ||
      !fits<C>(context, out, c) || out.count == 0)
    return;
  run_readers(context, pointer<Out>(out), out.count, body, open_reader<A>(context, a, 0), open_reader<B>(context, b, 1),
              open_reader<C>(context, c, 2));
}

// bfloat16: runs a kernel's loop over floats, widening a few elements at a time and rounding the results.
constexpr int64_t widened_elements = 512;

static inline void store_narrowed(bool stream, int64_t n, uint16_t* out, const float* from) {
  if (!stream) return simd::narrow_bfloat16(n, out, from);
  alignas(64) uint16_t narrow[widened_elements];
  simd::narrow_bfloat16(n, narrow, from);
  stream_out(out, narrow, n);
}

static inline void call_widened(const void* self, bool stream, int64_t n, uint16_t* out, const uint16_t* a) {
  const auto& body = *static_cast<const Body<float, float>*>(self);
  alignas(64) float x[widened_elements], y[widened_elements];
  for (int64_t i = 0; i < n; i += widened_elements) {
    const int64_t m = min(widened_elements, n - i);
    simd::widen_bfloat16(m, x, a + i);
    body.call(body.self, false, m, y, x);
    store_narrowed(stream, m, out + i, y);
  }
}
static inline void call_widened(const void* self, bool stream, int64_t n, uint16_t* out, const uint16_t* a,
                                const uint16_t* b) {
  const auto& body = *static_cast<const Body<float, float, float>*>(self);
  alignas(64) float x[widened_elements], y[widened_elements], z[widened_elements];
  for (int64_t i = 0; i < n; i += widened_elements) {
    const int64_t m = min(widened_elements, n - i);
    simd::widen_bfloat16(m, x, a + i);
    simd::widen_bfloat16(m, y, b + i);
    body.call(body.self, false, m, z, x, y);
    store_narrowed(stream, m, out + i, z);
  }
}
static inline void run(Context& context, const View& out, const View& a, Body<float, float> body) {
  if (out.dtype != DType::bfloat16) return run<float, float>(context, out, a, body);
  if (!expect(context, a.dtype == out.dtype, "elementwise: the dtypes differ")) return;
  run<uint16_t, uint16_t>(context, out, a, {call_widened, &body});
}
static inline void run(Context& context, const View& out, const View& a, const View& b,
                       Body<float, float, float> body) {
  if (out.dtype != DType::bfloat16) return run<float, float, float>(context, out, a, b, body);
  if (!expect(context, a.dtype == out.dtype && b.dtype == out.dtype, "elementwise: the dtypes differ")) return;
  run<uint16_t, uint16_t, uint16_t>(context, out, a, b, {call_widened, &body});
}

// function(n, out, inputs...). If it streams, the results pass through a buffer.
template <class F, class Out, class... In>
static inline void call_staged(const F& function, bool stream, int64_t n, Out* out, const In*... inputs) {
  alignas(64) Out room[block_size];
  for (int64_t i = 0; i < n; i += block_size) {
    const int64_t m = stream ? min(block_size, n - i) : n;
    function(m, stream ? room : out, (inputs + i)...);
    if (!stream) return;
    stream_out(out + i, room, m);
  }
}

// out = function(n, Out*, const A*, ...) over one, two or three inputs.
template <class Out, class A, class F>
static inline void each(Context& context, const View& out, const View& a, const F& function) {
  const auto staged = [&function](bool stream, int64_t n, Out* o, const A* x) {
    call_staged(function, stream, n, o, x);
  };
  run(context, out, a, body_of<Out, A>(staged));
}
template <class Out, class A, class B, class F>
static inline void each(Context& context, const View& out, const View& a, const View& b, const F& function) {
  const auto staged = [&function](bool stream, int64_t n, Out* o, const A* x, const B* y) {
    call_staged(function, stream, n, o, x, y);
  };
  run(context, out, a, b, body_of<Out, A, B>(staged));
}
template <class Out, class A, class B, class C, class F>
static inline void each(Context& context, const View& out, const View& a, const View& b, const View& c,
                        const F& function) {
  const auto staged = [&function](bool stream, int64_t n, Out* o, const A* x, const B* y, const C* z) {
    call_staged(function, stream, n, o, x, y, z);
  };
  run(context, out, a, b, c, body_of<Out, A, B, C>(staged));
}

// out[i] = op(in[i]...) a register at a time.
template <class Op, class Out, class... In>
static inline void map_registers(const Op& op, int64_t n, Out* out, const In*... in) {
  int64_t i = 0;
  for (; i + simd::lanes <= n; i += simd::lanes) simd::store(out + i, op(simd::load(in + i)...));
  if (i < n) simd::store_partial(out + i, op(simd::load_partial(in + i, n - i)...), n - i);
}
// The same past the caches. Registers are cut so that they are aligned in `out`.
template <class Op, class Out, class... In>
static inline void stream_registers(const Op& op, int64_t n, Out* out, const In*... in) {
  int64_t i = min(simd::to_alignment(out), n);
  if (i > 0) simd::store_partial(out, op(simd::load_partial(in, i)...), i);
  for (; i + simd::lanes <= n; i += simd::lanes) simd::store_past_caches(out + i, op(simd::load(in + i)...));
  if (i < n) simd::store_partial(out + i, op(simd::load_partial(in + i, n - i)...), n - i);
}

// out = op(inputs...), where op takes registers of T and returns one.
template <class T, class Op>
static inline void map_unary(Context& context, const View& out, const View& x, const Op& op) {
  const auto loop = [op](bool stream, int64_t n, T* o, const T* a) {
    stream ? stream_registers(op, n, o, a) : map_registers(op, n, o, a);
  };
  run(context, out, x, body_of<T, T>(loop));
}
template <class T, class Op>
static inline void map_binary(Context& context, const View& out, const View& a, const View& b, const Op& op) {
  const auto loop = [op](bool stream, int64_t n, T* o, const T* p, const T* q) {
    stream ? stream_registers(op, n, o, p, q) : map_registers(op, n, o, p, q);
  };
  run(context, out, a, b, body_of<T, T, T>(loop));
}

// Runs op for floats and int32, with registers of either. A dtype of another size is refused.
template <class Op>
static inline void map_unary_numeric(Context& context, const View& out, const View& x, const Op& op) {
  if (out.dtype == DType::int32) return map_unary<int32_t>(context, out, x, op);
  map_unary<float>(context, out, x, op);
}
template <class Op>
static inline void map_binary_numeric(Context& context, const View& out, const View& a, const View& b, const Op& op) {
  if (out.dtype == DType::int32) return map_binary<int32_t>(context, out, a, b, op);
  map_binary<float>(context, out, a, b, op);
}

}  // namespace firesteel::FIRESTEEL_ISA
