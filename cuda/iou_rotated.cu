// rotx_cuda::box_iou_rotated and rotx_cuda::box_iou_quadri.
#include "common.cuh"
#include "geom.cuh"

namespace rotx {
namespace {

constexpr int THREADS = 128;
constexpr int ROWS = 32;  // boxes of `a` that one block compares with THREADS boxes of `b`

template <typename Shape, typename scalar_t>
__device__ Shape load(const scalar_t* boxes, int64_t i) {
    using T = typename Shape::scalar;
    T raw[Shape::COLUMNS];
    for (int k = 0; k < Shape::COLUMNS; ++k) raw[k] = static_cast<T>(boxes[Shape::COLUMNS * i + k]);
    return Shape::from(raw);
}

template <typename Shape, typename scalar_t>
__global__ void prepare_kernel(const scalar_t* boxes, int64_t n, Shape* out) {
    const int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) out[i] = load<Shape>(boxes, i);
}

template <typename Shape, typename scalar_t>
__global__ void aligned_kernel(const scalar_t* a, const scalar_t* b, int64_t n, Mode mode, scalar_t* out) {
    const int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) out[i] = static_cast<scalar_t>(overlap(load<Shape>(a, i), load<Shape>(b, i), mode));
}

// One block compares ROWS boxes of `a` with THREADS boxes of `b`; adjacent threads write adjacent numbers.
template <typename Shape, typename scalar_t>
__global__ void pairwise_kernel(
    const Shape* a, int64_t n, const Shape* b, int64_t m, Mode mode, scalar_t* out) {
    const int64_t strips = (m + THREADS - 1) / THREADS;
    const int64_t first = blockIdx.x / strips * ROWS, j = blockIdx.x % strips * THREADS + threadIdx.x;
    const int rows = n - first < ROWS ? int(n - first) : ROWS;
    __shared__ Shape shared[ROWS];
    if (threadIdx.x < rows) shared[threadIdx.x] = a[first + threadIdx.x];
    __syncthreads();
    if (j >= m) return;
    const Shape column = b[j];
    for (int i = 0; i < rows; ++i) {
        out[(first + i) * m + j] = static_cast<scalar_t>(overlap(shared[i], column, mode));
    }
}

// Returns boxes prepared for intersections, as bytes.
template <typename Shape, typename scalar_t>
Tensor prepared(const Tensor& boxes, cudaStream_t stream) {
    const int64_t n = boxes.size(0), size = sizeof(Shape);
    Tensor out = torch::stable::new_empty(boxes, {n, size}, ScalarType::Byte);
    prepare_kernel<Shape><<<blocks(ceil_div(n, THREADS)), THREADS, 0, stream>>>(
        boxes.const_data_ptr<scalar_t>(), n, static_cast<Shape*>(out.data_ptr()));
    STD_CUDA_KERNEL_LAUNCH_CHECK();
    return out;
}

template <typename Shape, typename scalar_t>
void launch(const Tensor& a, const Tensor& b, Mode mode, bool aligned, Tensor& out) {
    const cudaStream_t stream = current_stream(a);
    const int64_t n = a.size(0), m = b.size(0);
    scalar_t* const numbers = out.mutable_data_ptr<scalar_t>();
    if (aligned) {
        aligned_kernel<Shape><<<blocks(ceil_div(n, THREADS)), THREADS, 0, stream>>>(
            a.const_data_ptr<scalar_t>(), b.const_data_ptr<scalar_t>(), n, mode, numbers);
    } else {
        const Tensor rows = prepared<Shape, scalar_t>(a, stream), columns = prepared<Shape, scalar_t>(b, stream);
        const unsigned count = blocks(ceil_div(n, ROWS) * ceil_div(m, THREADS));
        pairwise_kernel<<<count, THREADS, 0, stream>>>(
            static_cast<const Shape*>(rows.data_ptr()), n, static_cast<const Shape*>(columns.data_ptr()), m, mode,
            numbers);
    }
    STD_CUDA_KERNEL_LAUNCH_CHECK();
}

Tensor new_result(const Tensor& a, const Tensor& b, int64_t box_columns, bool aligned) {
    check_boxes("a", a, box_columns);
    check_boxes("b", b, box_columns);
    STD_TORCH_CHECK(a.scalar_type() == b.scalar_type(), "a and b: need one dtype");
    STD_TORCH_CHECK(a.get_device_index() == b.get_device_index(), "a and b: need one device");
    const int64_t n = a.size(0), m = b.size(0);
    STD_TORCH_CHECK(!aligned || n == m, "a and b: need equal numbers of boxes, got ", n, " and ", m);
    return aligned ? torch::stable::new_empty(a, {n}) : torch::stable::new_empty(a, {n, m});
}

// `ShapeOf<scalar_t>` is the shape type for boxes of a dtype.
template <template <typename> class ShapeOf>
Tensor box_iou(const Tensor& a, const Tensor& b, bool iof, bool aligned) {
    Tensor out = new_result(a, b, ShapeOf<float>::COLUMNS, aligned);
    if (out.numel() == 0) return out;
    const torch::stable::accelerator::DeviceGuard guard(a.get_device_index());
    const Tensor first = torch::stable::contiguous(a), second = torch::stable::contiguous(b);
    dispatch_float("a", a.scalar_type(), [&](auto zero) {
        using scalar_t = decltype(zero);
        launch<ShapeOf<scalar_t>, scalar_t>(first, second, iof ? Mode::Iof : Mode::Iou, aligned, out);
    });
    return out;
}

template <typename scalar_t>
using RotatedBoxOf = RotatedBox<acc_t<scalar_t>>;
template <typename scalar_t>
using QuadOf = Quad;

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(rotx_cuda, ROTX_DEVICE, m) {
    m.impl("box_iou_rotated", TORCH_BOX(&box_iou<RotatedBoxOf>));
    m.impl("box_iou_quadri", TORCH_BOX(&box_iou<QuadOf>));
}

}  // namespace rotx
