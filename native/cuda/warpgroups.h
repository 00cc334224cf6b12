// The constructs of Hopper (compute capability 9.0) beyond gpu.h: barriers in shared memory that count arrivals and
// bytes, bulk copies of tiles, and products of a warpgroup, which is four neighbouring warps. ../emulator/warpgroups.h
// defines the same for the CPU.
#pragma once
#include "gpu.h"
#include "tensor_map.h"

#ifdef __CUDACC__

// An entry point for blocks of 384 threads. Its one parameter lies in constant memory.
#define KERNEL_OF_WARPGROUPS(name, parameter) extern "C" __global__ void __launch_bounds__(384, 1) name(parameter)

// Only code for exactly sm_90a has these instructions.
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
constexpr bool has_warpgroup_products = true;

// The block's dynamic shared memory.
#define DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(1024) unsigned char name##_bytes[]; \
  type& name = *reinterpret_cast<type*>(name##_bytes)

// A barrier's phase ends once `count` arrivals and all expected bytes have come. The first phase is 0, the next one 1,
// and so on in turns.
DEVICE void start_barrier(uint64_t* barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
// Shows the barriers to the engine of copies.
DEVICE void publish_barriers() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// Arrives, and announces bytes that copies will bring.
DEVICE void expect_bytes(uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
DEVICE void arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// Waits until the phase of this parity is over.
DEVICE void wait_phase(uint64_t* barrier, int parity) {
  asm volatile(
      "{\n.reg .pred P;\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 P, [%0], %1;\n"
      "@P bra DONE;\nbra WAIT;\nDONE:\n}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// Copies the map's box from element `x` of line `y` on into shared memory while the thread goes on, with a swizzle of
// 128 bytes. Elements beyond the matrix are zeros. Their bytes count for the barrier.
DEVICE void copy_tile(void* to, const TensorMap* map, uint64_t* barrier, int x, int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
          "r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y)
      : "memory");
}

// Products run while the threads go on. They begin behind begin_products, and their sums may be read once their group
// was waited for. wait_products<n> does not wait for the last n groups.
DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int left>
DEVICE void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory");
}

// The number of registers of each of the warpgroup's threads from here on.
template <int count>
DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}
template <int count>
DEVICE void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}

// c += a b^T, for a warpgroup: a is 64x16 and b as many columns x16 of bfloat16, each in lines of 128 swizzled bytes of
// shared memory (operand_at). c has the layout of the PTX manual for wgmma.m64nNk16.
#define EIGHT(i)                                                                                              \
  "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), \
      "+f"(c[i + 7])
DEVICE void add_products(float (&c)[64], uint64_t a, uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%"
      "30,%31,"
      "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,"
      "%60,%61,%62,%63},"
      " %64, %65, 1, 1, 1, 0, 0;"
      : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24), EIGHT(32), EIGHT(40), EIGHT(48), EIGHT(56)
      : "l"(a), "l"(b));
}
DEVICE void add_products(float (&c)[128], uint64_t a, uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%"
      "30,%31,"
      "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,"
      "%60,%61,%62,%63,"
      "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,"
      "%92,%93,%94,%95,"
      "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%"
      "119,%120,%121,%122,%123,%124,%125,%126,%127},"
      " %128, %129, 1, 1, 1, 0, 0;"
      : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24), EIGHT(32), EIGHT(40), EIGHT(48), EIGHT(56), EIGHT(64), EIGHT(72),
        EIGHT(80), EIGHT(88), EIGHT(96), EIGHT(104), EIGHT(112), EIGHT(120)
      : "l"(a), "l"(b));
}
#undef EIGHT
#else
// Kernels without these instructions must not be launched, and end in an error if they are.
constexpr bool has_warpgroup_products = false;
#endif

#else
#include "../emulator/warpgroups.h"
#endif

#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
// A factor's lines from `data` on, for add_products: 8 lines of 128 bytes lie together, and the next 8 lie 1024 bytes
// further. The bits are those of the PTX manual's matrix descriptor with a swizzle of 128 bytes.
DEVICE uint64_t operand_at(const void* data) {
  return uint64_t(shared_address(data) & 0x3ffff) >> 4 | uint64_t(1) << 16 | uint64_t(1024 >> 4) << 32 |
         uint64_t(1) << 62;
}
#endif
