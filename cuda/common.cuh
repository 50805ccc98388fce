// What all kernels share, and the only file that includes torch's headers: the stable ABI of torch 2.11.
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

// The dispatch key that kernels are registered for. The tests compile them for CPU: see tests/emulator/.
#ifndef ROTX_DEVICE
#define ROTX_DEVICE CUDA
#endif

namespace rotx {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// What numbers of a dtype are computed in: half and bfloat16 in float.
template <typename scalar_t>
using acc_t = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;

// Calls `body` with a 0 of the C++ type of a floating dtype.
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

// The stream that torch has chosen for the tensor's device, which the caller has made the current one.
inline cudaStream_t current_stream(const Tensor& tensor) {
    // Torch tells its own copy of the CUDA runtime; this is the one that launches.
    STD_CUDA_CHECK(cudaSetDevice(tensor.get_device_index()));
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
    return static_cast<cudaStream_t>(stream);
}

inline void check_boxes(const char* name, const Tensor& boxes, int64_t columns) {
    STD_TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == columns, name, ": need shape (N, ", columns, ")");
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The grid is a line of blocks: 2^31 - 1 of them, of 128 threads, are more than memory has numbers for.
inline unsigned blocks(int64_t n) {
    STD_TORCH_CHECK(n < (int64_t(1) << 31), "too much for one launch");
    return static_cast<unsigned>(n);
}

}  // namespace rotx
