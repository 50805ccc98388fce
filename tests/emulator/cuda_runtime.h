// A stand-in for CUDA's header: kernels run on the CPU, one block after the other, the threads of a block in turns.
//
// The threads of a block are fibers. One runs until it waits for others (__syncthreads, an exchange within the warp)
// or pauses (__nanosleep). In which order blocks and fibers run is random, so that a kernel that lacks a barrier
// gives wrong numbers in some runs. `../emulated.py` rewrites launches for this header and compiles the kernels.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static  // blocks run one at a time
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
    unsigned x, y, z;
};

using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* data, int value, std::size_t size, cudaStream_t) {
    std::memset(data, value, size);
    return cudaSuccess;
}

namespace emulator {

constexpr unsigned WARP = 32;

// Runs a kernel for every thread of the grid.
void run(dim3 grid, dim3 block, std::size_t shared, const std::function<void()>& thread);
// The block's dynamic shared memory.
void* dynamic_shared();
void sync_block();
// Lets others run.
void pause();
// Waits for the lanes of `mask` and gives what each of them has brought.
const std::uint64_t* exchange(unsigned mask, std::uint64_t value);
unsigned lane();

// What stands between <<< and >>>.
struct Shape {
    dim3 grid, block;
    std::size_t shared = 0;
    cudaStream_t stream = nullptr;
};

template <typename Kernel, typename... Args>
void launch(Shape shape, Kernel kernel, Args... args) {
    run(shape.grid, shape.block, shape.shared, [&] { kernel(args...); });
}

template <typename T>
T shuffle(unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = exchange(mask, bits)[source];
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

template <typename T, typename Change>
T change(T* where, Change changed) {
    const T old = *where;
    *where = changed(old);
    return old;
}

}  // namespace emulator

extern thread_local uint3 threadIdx, blockIdx;
extern thread_local dim3 blockDim, gridDim;
constexpr int warpSize = emulator::WARP;

inline void __syncthreads() { emulator::sync_block(); }
inline void __syncwarp(unsigned mask = ~0u) { emulator::exchange(mask, 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) { emulator::pause(); }

inline unsigned __ballot_sync(unsigned mask, int predicate) {
    const std::uint64_t* values = emulator::exchange(mask, predicate != 0);
    unsigned ballot = 0;
    for (unsigned i = 0; i < emulator::WARP; ++i) ballot |= (mask >> i & 1u & unsigned(values[i])) << i;
    return ballot;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize) {
    const unsigned first = emulator::lane() / unsigned(width) * unsigned(width);
    return emulator::shuffle(mask, value, first + unsigned(source) % unsigned(width));
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize) {
    const unsigned own = emulator::lane(), source = own ^ unsigned(bits);
    return emulator::shuffle(mask, value, source / unsigned(width) == own / unsigned(width) ? source : own);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = warpSize) {
    const unsigned own = emulator::lane(), inner = own % unsigned(width);
    return emulator::shuffle(mask, value, inner + by < unsigned(width) ? own + by : own);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = warpSize) {
    const unsigned own = emulator::lane(), inner = own % unsigned(width);
    return emulator::shuffle(mask, value, inner >= by ? own - by : own);
}

// Fibers change only where they wait: plain changes are atomic.
template <typename T>
T atomicAdd(T* where, std::common_type_t<T> value) {
    return emulator::change(where, [&](T old) { return T(old + value); });
}
template <typename T>
T atomicMax(T* where, std::common_type_t<T> value) {
    return emulator::change(where, [&](T old) { return value > old ? value : old; });
}
template <typename T>
T atomicMin(T* where, std::common_type_t<T> value) {
    return emulator::change(where, [&](T old) { return value < old ? value : old; });
}
template <typename T>
T atomicOr(T* where, std::common_type_t<T> value) {
    return emulator::change(where, [&](T old) { return T(old | value); });
}
template <typename T>
T atomicAnd(T* where, std::common_type_t<T> value) {
    return emulator::change(where, [&](T old) { return T(old & value); });
}
template <typename T>
T atomicExch(T* where, std::common_type_t<T> value) {
    return emulator::change(where, [&](T) { return value; });
}
template <typename T>
T atomicCAS(T* where, std::common_type_t<T> expected, std::common_type_t<T> value) {
    return emulator::change(where, [&](T old) { return old == expected ? value : old; });
}

template <typename T>
constexpr T min(T a, T b) {
    return b < a ? b : a;
}
template <typename T>
constexpr T max(T a, T b) {
    return a < b ? b : a;
}
template <typename T>
T __ldg(const T* from) {
    return *from;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(unsigned(bits)) : 32; }
inline int __clzll(long long bits) { return bits ? __builtin_clzll(static_cast<unsigned long long>(bits)) : 64; }

namespace emulator {
template <typename To, typename From>
To bits_of(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}
}  // namespace emulator
inline int __float_as_int(float v) { return emulator::bits_of<int>(v); }
inline float __int_as_float(int v) { return emulator::bits_of<float>(v); }
inline unsigned __float_as_uint(float v) { return emulator::bits_of<unsigned>(v); }
inline float __uint_as_float(unsigned v) { return emulator::bits_of<float>(v); }
inline long long __double_as_longlong(double v) { return emulator::bits_of<long long>(v); }
inline double __longlong_as_double(long long v) { return emulator::bits_of<double>(v); }
inline long long __double2ll_rn(double v) { return std::llrint(v); }
inline long long __float2ll_rn(float v) { return std::llrint(v); }
inline int __float2int_rd(float v) { return int(std::floor(v)); }
inline int __double2int_rd(double v) { return int(std::floor(v)); }
inline float rsqrtf(float v) { return 1 / std::sqrt(v); }
inline double rsqrt(double v) { return 1 / std::sqrt(v); }

#define ROTX_VECTOR(name, T, ...)                        \
    struct alignas(sizeof(T) * 2) name##2 { T x, y; };   \
    struct alignas(sizeof(T) * 2) name##4 { T x, y, z, w; }; \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
ROTX_VECTOR(int, int)
ROTX_VECTOR(float, float)
ROTX_VECTOR(double, double)
#undef ROTX_VECTOR
