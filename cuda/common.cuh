// Shared by all kernels. The only file that includes torch's headers: those of the stable ABI of torch 2.11.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <type_traits>

// Dispatch key of the kernels. The tests compile them for CPU: see tests/emulator/.
#ifndef ROTX_DEVICE
#define ROTX_DEVICE CUDA
#endif

namespace rotx {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Type in which numbers of a dtype are computed: float for half and bfloat16.
template <typename scalar_t>
using acc_t = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;

// Calls `body` with a zero of the C++ type of a floating-point dtype.
template <typename Body>
void dispatch_float(const char* name, ScalarType type, Body body) {
    switch (type) {
        case ScalarType::Half: return body(torch::headeronly::Half(0));
        case ScalarType::BFloat16: return body(torch::headeronly::BFloat16(0));
        case ScalarType::Float: return body(0.0f);
        case ScalarType::Double: return body(0.0);
        default: STD_TORCH_CHECK(false, name, ": need float16, bfloat16, float32 or float64");
    }
}

// Returns torch's current stream on the tensor's device, which the caller must have made the current device.
inline cudaStream_t current_stream(const Tensor& tensor) {
    // Torch sets the device in its own copy of the CUDA runtime; kernels are launched by the copy in this library.
    const cudaError_t chosen = cudaSetDevice(tensor.get_device_index());
    STD_TORCH_CHECK(
        chosen != cudaErrorInsufficientDriver, "the NVIDIA driver is older than CUDA ", CUDART_VERSION / 1000,
        ", which rotx's kernels were built with: upgrade the driver, build them with CUDA_HOME=... make cuda, or set ",
        "ROTX_NO_CUDA_EXT=1");
    STD_CUDA_CHECK(chosen);
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
    return static_cast<cudaStream_t>(stream);
}

inline void check_boxes(const char* name, const Tensor& boxes, int64_t columns) {
    STD_TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == columns, name, ": need shape (N, ", columns, ")");
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Checks the number of blocks of a one-dimensional grid. The limit, 2^31 - 1 blocks of 128 threads, exceeds the number
// of elements that fit into memory.
inline unsigned blocks(int64_t n) {
    STD_TORCH_CHECK(n < (int64_t(1) << 31), "too many blocks for one launch");
    return static_cast<unsigned>(n);
}

}  // namespace rotx
