// rotx::box_iou_rotated for CUDA tensors.
#include <string>

#include "common.cuh"
#include "geom.cuh"

namespace rotx {
namespace {

constexpr int THREADS = 128;
constexpr int ROWS = 32;  // boxes of `a` that one block compares with THREADS boxes of `b`

template <typename scalar_t>
__device__ RotatedBox<acc_t<scalar_t>> load(const scalar_t* boxes, int64_t i) {
    acc_t<scalar_t> raw[5];
    for (int k = 0; k < 5; ++k) raw[k] = static_cast<acc_t<scalar_t>>(boxes[5 * i + k]);
    return prepare(raw);
}

template <typename scalar_t>
__global__ void prepare_kernel(const scalar_t* boxes, int64_t n, RotatedBox<acc_t<scalar_t>>* out) {
    const int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) out[i] = load(boxes, i);
}

template <typename scalar_t>
__global__ void aligned_kernel(const scalar_t* a, const scalar_t* b, int64_t n, Mode mode, scalar_t* out) {
    const int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) out[i] = static_cast<scalar_t>(overlap(load(a, i), load(b, i), mode));
}

// One block takes ROWS boxes of `a` and THREADS of `b`; neighbouring threads write neighbouring numbers.
template <typename scalar_t, typename T>
__global__ void pairwise_kernel(
    const RotatedBox<T>* a, int64_t n, const RotatedBox<T>* b, int64_t m, Mode mode, scalar_t* out) {
    const int64_t strips = (m + THREADS - 1) / THREADS;
    const int64_t first = blockIdx.x / strips * ROWS, j = blockIdx.x % strips * THREADS + threadIdx.x;
    const int rows = n - first < ROWS ? int(n - first) : ROWS;
    __shared__ RotatedBox<T> shared[ROWS];
    if (threadIdx.x < rows) shared[threadIdx.x] = a[first + threadIdx.x];
    __syncthreads();
    if (j >= m) return;
    const RotatedBox<T> column = b[j];
    for (int i = 0; i < rows; ++i) {
        out[(first + i) * m + j] = static_cast<scalar_t>(overlap(shared[i], column, mode));
    }
}

// The grid is a line of blocks: 2^31 - 1 of them are 8.8e12 pairs, more than fit in memory.
unsigned blocks(int64_t n) {
    STD_TORCH_CHECK(n < (int64_t(1) << 31), "too many boxes for one launch");
    return static_cast<unsigned>(n);
}

template <typename scalar_t>
Tensor prepared(const Tensor& boxes, cudaStream_t stream) {
    using Box = RotatedBox<acc_t<scalar_t>>;
    const ScalarType type = std::is_same_v<scalar_t, double> ? ScalarType::Double : ScalarType::Float;
    const int64_t n = boxes.size(0), numbers = sizeof(Box) / sizeof(acc_t<scalar_t>);
    Tensor out = torch::stable::new_empty(boxes, {n, numbers}, type);
    prepare_kernel<<<blocks(ceil_div(n, THREADS)), THREADS, 0, stream>>>(
        boxes.const_data_ptr<scalar_t>(), n, static_cast<Box*>(out.data_ptr()));
    STD_CUDA_KERNEL_LAUNCH_CHECK();
    return out;
}

template <typename scalar_t>
void launch(const Tensor& a, const Tensor& b, Mode mode, bool aligned, Tensor& out) {
    using Box = RotatedBox<acc_t<scalar_t>>;
    const cudaStream_t stream = current_stream(a);
    const int64_t n = a.size(0), m = b.size(0);
    if (aligned) {
        aligned_kernel<<<blocks(ceil_div(n, THREADS)), THREADS, 0, stream>>>(
            a.const_data_ptr<scalar_t>(), b.const_data_ptr<scalar_t>(), n, mode, out.mutable_data_ptr<scalar_t>());
    } else {
        const Tensor rows = prepared<scalar_t>(a, stream), columns = prepared<scalar_t>(b, stream);
        const unsigned count = blocks(ceil_div(n, ROWS) * ceil_div(m, THREADS));
        pairwise_kernel<<<count, THREADS, 0, stream>>>(
            static_cast<const Box*>(rows.data_ptr()), n, static_cast<const Box*>(columns.data_ptr()), m, mode,
            out.mutable_data_ptr<scalar_t>());
    }
    STD_CUDA_KERNEL_LAUNCH_CHECK();
}

Tensor box_iou_rotated(const Tensor& a, const Tensor& b, std::string mode, bool aligned) {
    check_boxes("a", a, 5);
    check_boxes("b", b, 5);
    STD_TORCH_CHECK(a.scalar_type() == b.scalar_type(), "a and b: need one dtype");
    STD_TORCH_CHECK(a.get_device_index() == b.get_device_index(), "a and b: need one device");
    STD_TORCH_CHECK(mode == "iou" || mode == "iof", "mode: need 'iou' or 'iof', got '", mode, "'");
    const int64_t n = a.size(0), m = b.size(0);
    STD_TORCH_CHECK(!aligned || n == m, "a and b: need as many boxes, got ", n, " and ", m);
    const torch::stable::accelerator::DeviceGuard guard(a.get_device_index());
    Tensor out = aligned ? torch::stable::new_empty(a, {n}) : torch::stable::new_empty(a, {n, m});
    if (out.numel() == 0) return out;
    const Tensor first = torch::stable::contiguous(a), second = torch::stable::contiguous(b);
    dispatch_float("a", a.scalar_type(), [&](auto zero) {
        launch<decltype(zero)>(first, second, mode == "iof" ? Mode::Iof : Mode::Iou, aligned, out);
    });
    return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(rotx, CUDA, m) { m.impl("box_iou_rotated", TORCH_BOX(&box_iou_rotated)); }

}  // namespace rotx
