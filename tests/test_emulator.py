"""The stand-in for CUDA on which the kernels are tested: barriers, exchanges, atomics, and what it must notice."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

import emulated

SOURCE = r"""
#include "cuda_runtime.h"
#include <cstdio>
#include <exception>

template <bool BARRIER>
__global__ void block_sums(const int* values, int* sums) {
    extern __shared__ int shared[];
    shared[threadIdx.x] = values[blockIdx.x * blockDim.x + threadIdx.x];
    if (BARRIER) __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (int(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        if (BARRIER) __syncthreads();
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = shared[0];
}

__global__ void warps(int* out) {
    const int i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z), lane = i % 32;
    int sum = lane;
    for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0u, sum, bits);
    const unsigned odd = __ballot_sync(~0u, lane % 2);
    const int neighbour = __shfl_down_sync(~0u, i, 1, 8), first = __shfl_sync(~0u, i, 0);
    out[i] = sum == 496 && odd == 0xaaaaaaaau && neighbour == (lane % 8 == 7 ? i : i + 1) && first == i - lane
             && __any_sync(~0u, lane == 31) && !__all_sync(~0u, lane != 31);
}

// Each warp takes a ticket and waits for the one before it: whoever comes first must not wait for later ones.
__global__ void chain(int* next, volatile int* done, int n) {
    int ticket = 0;
    if (threadIdx.x % 32 == 0) ticket = atomicAdd(next, 1);
    ticket = __shfl_sync(~0u, ticket, 0);
    if (ticket >= n || threadIdx.x % 32 != 0) return;
    while (ticket > 0 && done[ticket - 1] == 0) __nanosleep(20);
    done[ticket] = ticket > 0 ? done[ticket - 1] + 1 : 1;
}

__global__ void half_at_barrier(int* out) {
    if (threadIdx.x < 16) {
        while (*static_cast<volatile int*>(out) == 0) __nanosleep(20);
    }
    __syncthreads();
    *out = 1;
}

__global__ void half_of_a_warp(int* out) {
    if (threadIdx.x < 16) *out += __shfl_sync(~0u, 1, 0);
    else __syncthreads();
}

#define EXPORT(name, ...) extern "C" int name(const int* in, int* out, int n) { \
    (void)in; (void)out; (void)n; \
    try { __VA_ARGS__ } catch (const std::exception& error) { std::puts(error.what()); return 1; } return 0; }
EXPORT(run_sums, block_sums<true><<<n, 128, 128 * sizeof(int), nullptr>>>(in, out);)
EXPORT(run_racing_sums, block_sums<false><<<n, 128, 128 * sizeof(int)>>>(in, out);)
EXPORT(run_warps, warps<<<1, dim3(16, 2, 4)>>>(out);)
EXPORT(run_chain, chain<<<dim3((n + 3) / 4), 128>>>(out, out + 1, n);)
EXPORT(run_barrier, half_at_barrier<<<1, 32>>>(out);)
EXPORT(run_half, half_of_a_warp<<<1, 32>>>(out);)
EXPORT(run_large, warps<<<1, 2048>>>(out);)
"""

Ints = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    target: Path = tmp_path_factory.mktemp("emulator") / "kernels.so"
    emulated.build(SOURCE, target)
    return ctypes.CDLL(str(target))


def call(kernels: ctypes.CDLL, name: str, values: Ints, out: Ints, n: int = 0) -> int:
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (values, out)]
    return int(getattr(kernels, name)(*pointers, ctypes.c_int(n)))


def test_barriers_and_shared_memory(kernels: ctypes.CDLL) -> None:
    values = np.random.default_rng(0).integers(0, 1000, (50, 128)).astype(np.int32)
    sums = np.zeros(50, np.int32)
    assert call(kernels, "run_sums", values, sums, 50) == 0
    np.testing.assert_array_equal(sums, values.sum(axis=1))


def test_a_kernel_without_its_barriers_is_found_out(kernels: ctypes.CDLL) -> None:
    values = np.random.default_rng(0).integers(1, 1000, (50, 128)).astype(np.int32)
    sums = np.zeros(50, np.int32)
    assert call(kernels, "run_racing_sums", values, sums, 50) == 0
    assert (sums != values.sum(axis=1)).mean() > 0.9


def test_exchanges_within_warps(kernels: ctypes.CDLL) -> None:
    out = np.zeros(128, np.int32)
    assert call(kernels, "run_warps", out, out) == 0
    assert out.all()


def test_waiting_for_earlier_tickets_ends(kernels: ctypes.CDLL) -> None:
    out = np.zeros(202, np.int32)
    assert call(kernels, "run_chain", out, out, 201) == 0
    np.testing.assert_array_equal(out[1:], np.arange(1, 202))


@pytest.mark.parametrize("name", ["run_barrier", "run_half", "run_large"])
def test_what_a_device_would_hang_on_or_refuse_is_an_error(kernels: ctypes.CDLL, name: str) -> None:
    out = np.zeros(1, np.int32)
    assert call(kernels, name, out, out) == 1
