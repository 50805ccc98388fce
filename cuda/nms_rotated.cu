// rotx_cuda::nms_rotated: the keep list of rust/core/src/nms.rs, for at most 2^30 boxes.
//
// Boxes are numbered twice. The *rank* is the order of greedy suppression: falling score, ties by index. The *position*
// is a spatial order: there are levels of square cells, one level per factor of four in size, and a box is in the cell
// of its centre, on the level whose cells are just larger than the box. So the boxes that may intersect a given one are
// adjacent, in a few rows of cells on each level.
//
// One warp decides one box. It visits the boxes of lower rank around it; if some of these would suppress the box but
// are still undecided, it waits for them. Blocks take ranks when they start, so they only wait for blocks that have
// already started.
#include "common.cuh"
#include "geom.cuh"
#include "keys.cuh"

namespace rotx {
namespace {

constexpr int WARP = 32;
constexpr unsigned ALL = 0xffffffff;
constexpr int THREADS = 128;
constexpr int NONE = -1;

enum State : unsigned char { UNDECIDED, KEPT, DROPPED };

// Float IoUs closer to the threshold than this are recomputed in double: four times the error that the tests allow.
constexpr float DOUBTFUL = 4e-6f;
// If the sides of both boxes lie between these, float neither overflows nor loses precision.
constexpr float LEAST_SIDE = 1e-9f, GREATEST_SIDE = 1e12f;

// Circumscribed circle of a box: it rejects most pairs that do not meet.
template <typename T>
struct alignas(16) Circle {
    T x, y, radius;
    int rank;
};

// Initially 0: the range of each level, and the next rank to decide. In memory, the states of all boxes follow.
struct Progress {
    Range levels[LEVELS];
    int next;
};

// All boxes, by position.
template <typename T>
struct Scene {
    const int64_t* keys;
    Circle<T>* circles;
    RotatedBox<T>* boxes;
    int64_t* labels;  // null: all boxes have one class
    Range* levels;
    volatile unsigned char* states;
    double threshold;
};

template <typename T, typename scalar_t>
__device__ void load(const scalar_t* boxes, int64_t i, T (&raw)[5]) {
    for (int k = 0; k < 5; ++k) raw[k] = static_cast<T>(boxes[5 * i + k]);
}

// Whether a box has an area, computed in double: in float it may overflow or underflow.
template <typename T>
__device__ bool has_area(const T (&raw)[5]) {
    const double w = raw[2], h = raw[3], area = w * h;
    // If x is not finite, x - x is NaN and thus not equal to 0.
    const bool placed = raw[0] - raw[0] == 0 && raw[1] - raw[1] == 0 && raw[4] - raw[4] == 0;
    return placed && w > 0 && h > 0 && area > 0 && area - area == 0;
}

__device__ double diameter(double w, double h) { return std::sqrt(w * w + h * h); }

// Whether the precision suffices for a box of this size, except for float IoUs near the threshold.
__device__ bool regular(double, double) { return true; }
__device__ bool regular(float w, float h) {
    return w > LEAST_SIDE && w < GREATEST_SIDE && h > LEAST_SIDE && h < GREATEST_SIDE;
}

// The box as it is, or prepared again in double.
__device__ const RotatedBox<float>& in_precision(float, const RotatedBox<float>& box) { return box; }
__device__ const RotatedBox<double>& in_precision(double, const RotatedBox<double>& box) { return box; }
__device__ RotatedBox<double> in_precision(double, const RotatedBox<float>& box) {
    const double raw[5] = {box.cx, box.cy, box.w, box.h, box.angle};
    return RotatedBox<double>::from(raw);
}

template <typename T, typename scalar_t>
__global__ void score_keys_kernel(const scalar_t* scores, int64_t n, T* keys) {
    const int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) keys[i] = falling_key(static_cast<acc_t<scalar_t>>(scores[i]));
}

// Computes the cell key of the box of each rank.
template <typename T, typename scalar_t>
__global__ void cell_keys_kernel(
    const scalar_t* boxes, const int64_t* labels, const int64_t* order, int64_t n, int64_t* keys) {
    const int64_t rank = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (rank >= n) return;
    T raw[5];
    load(boxes, order[rank], raw);
    const int64_t label = labels ? labels[order[rank]] : 0;
    const int level = has_area(raw) ? level_of(diameter(raw[2], raw[3])) : NOWHERE;
    const bool one_cell = level >= TOP;
    keys[rank] = one_cell ? cell_key(level, 0, 0, 0)
                          : cell_key(level, label, cell_of(raw[1], level), cell_of(raw[0], level));
}

// Fills the scene, whose sorted keys are those of `ranks`, and the position of each rank.
template <typename T, typename scalar_t>
__global__ void arrange_kernel(
    Scene<T> scene, const scalar_t* boxes, const int64_t* labels, const int64_t* order, const int64_t* ranks, int n,
    int* positions) {
    const int64_t p = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (p >= n) return;
    const int64_t rank = ranks[p], i = order[rank];
    T raw[5];
    load(boxes, i, raw);
    const RotatedBox<T> box = RotatedBox<T>::from(raw);
    const T radius = regular(box.w, box.h) ? box.radius * APART<T> : T(INFINITY);
    scene.circles[p] = {box.cx, box.cy, radius, int(rank)};
    scene.boxes[p] = box;
    if (labels) scene.labels[p] = labels[i];
    positions[rank] = int(p);
    const int level = level_of_key(scene.keys[p]);
    if (p == 0 || level_of_key(scene.keys[p - 1]) != level) scene.levels[level].begin = int(p);
    if (p == n - 1 || level_of_key(scene.keys[p + 1]) != level) scene.levels[level].end = int(p) + 1;
}

// Not inlined: large and rarely needed.
template <typename T>
__device__ __attribute__((noinline)) bool suppressed_in_double(const Scene<T>& scene, int position);

// A warp's search for boxes that suppress one box, with IoUs in a given precision. All lanes hold the same values,
// except for `lane` and their findings.
template <typename T, typename Precision>
struct Search {
    const Scene<T>& scene;
    const int lane;
    const Circle<T> circle;
    const RotatedBox<T>& box;  // not copied: with fewer registers, more warps fit
    const int64_t label;
    // An undecided box, found by this lane, that suppresses this one if it is kept; whether the lane has found more of
    // them, or an IoU for which the precision does not suffice.
    int pending = NONE;
    bool more = false, doubtful = false;

    __device__ Search(const Scene<T>& scene, int position)
        : scene(scene), lane(threadIdx.x % WARP), circle(scene.circles[position]), box(scene.boxes[position]),
          label(scene.labels ? scene.labels[position] : 0) {}

    // Whether the box is suppressed; waits until that is decided.
    __device__ bool suppressed(int position) {
        do {
            pending = NONE;
            more = false;
            if (visit_levels()) return true;
            if constexpr (!std::is_same_v<Precision, double>) {
                if (__any_sync(ALL, doubtful)) return suppressed_in_double(scene, position);
            }
            if (wait()) return true;
        } while (__any_sync(ALL, more));
        return false;
    }

    // Waits until all pending boxes are dropped, or one of them is kept; returns whether one is kept.
    __device__ bool wait() {
        while (__any_sync(ALL, pending != NONE)) {
            const int state = pending == NONE ? UNDECIDED : scene.states[pending];
            if (__any_sync(ALL, state == KEPT)) return true;
            if (state == DROPPED) pending = NONE;
            __nanosleep(50);
        }
        return false;
    }

    // Whether a kept box suppresses this one; visits all that may intersect it.
    __device__ bool visit_levels() {
        const int own = level_of(diameter(box.w, box.h));
        uint64_t levels = __ballot_sync(ALL, reaches(lane)) | uint64_t(__ballot_sync(ALL, reaches(WARP + lane))) << WARP;
        while (levels) {
            // A suppressing box most often has the same size: its level comes first.
            const int level = levels >> own & 1 ? own : __ffsll(levels) - 1;
            if (visit_level(level)) return true;
            levels &= ~(uint64_t(1) << level);
        }
        return false;
    }

    // Whether the level has boxes, and these are not too small: the IoU is at most the smaller area over the larger.
    __device__ bool reaches(int level) const {
        if (level >= NOWHERE || scene.levels[level].begin == scene.levels[level].end) return false;
        const double greatest = 0.5 * exp2_of(4 * (level - UNIT));  // square whose diagonal is the cell's side
        return level == TOP || greatest >= scene.threshold * (1 - 1e-9) * double(box.w) * double(box.h);
    }

    __device__ bool visit_level(int level) {
        const Range all = scene.levels[level];
        if (level == TOP) return visit(lane == 0 ? all : Range{0, 0});
        // Visits the cells whose boxes can reach this one: half a cell from their centres, plus a margin for rounding.
        const double reach = 0.5 * (diameter(box.w, box.h) + exp2_of(2 * (level - UNIT))) * (1 + 1e-6);
        const int first = cell_of(box.cy - reach, level), last = cell_of(box.cy + reach, level);
        // Finding a row costs as much as visiting a few boxes.
        if (8 * (last - first) >= all.end - all.begin) return visit(lane == 0 ? all : Range{0, 0});
        const int left = cell_of(box.cx - reach, level), right = cell_of(box.cx + reach, level);
        for (int start = first; start <= last; start += WARP) {
            const int row = start + lane;
            Range cells{0, 0};
            if (row <= last) {
                cells.begin = lower_bound(scene.keys, all, cell_key(level, label, row, left));
                cells.end = lower_bound(scene.keys, {cells.begin, all.end}, cell_key(level, label, row, right) + 1);
            }
            if (visit(cells)) return true;
        }
        return false;
    }

    // Visits the boxes of all lanes' ranges, one box per lane at a time.
    __device__ bool visit(Range range) {
        int upto = range.end - range.begin;  // then summed over this lane and all before it
        for (int step = 1; step < WARP; step *= 2) {
            const int before = __shfl_up_sync(ALL, upto, step);
            if (lane >= step) upto += before;
        }
        const int total = __shfl_sync(ALL, upto, WARP - 1);
        for (int start = 0; start < total; start += WARP) {
            const int number = start + lane;
            int source = 0;  // the lane of this box: the first whose sum is larger
            for (int step = WARP / 2; step > 0; step /= 2) {
                if (__shfl_sync(ALL, upto, source + step - 1) <= number) source += step;
            }
            const int position = __shfl_sync(ALL, range.end - upto, source) + number;
            if (__any_sync(ALL, number < total && found(position))) return true;
        }
        return false;
    }

    // Whether the box at this position is kept and suppresses this one. If it is undecided, it becomes pending.
    __device__ bool found(int position) {
        const Circle<T> other = scene.circles[position];
        const int state = scene.states[position];
        if (other.rank >= circle.rank || state == DROPPED) return false;
        const T dx = circle.x - other.x, dy = circle.y - other.y, reach = circle.radius + other.radius;
        if (dx * dx + dy * dy > reach * reach) return false;
        if (scene.labels && scene.labels[position] != label) return false;
        if (!suppressed_by(scene.boxes[position])) return false;
        if (state == KEPT) return true;
        more |= pending != NONE;
        pending = position;
        return false;
    }

    __device__ bool suppressed_by(const RotatedBox<T>& other) {
        const Precision iou = overlap(in_precision(Precision(), box), in_precision(Precision(), other), Mode::Iou);
        if constexpr (!std::is_same_v<Precision, double>) {
            const bool clear = regular(box.w, box.h) && regular(other.w, other.h)
                            && std::fabs(iou - float(scene.threshold)) > DOUBTFUL;
            doubtful |= !clear;
            return clear && iou > float(scene.threshold);
        }
        return iou > scene.threshold;
    }
};

template <typename T>
__device__ bool suppressed_in_double(const Scene<T>& scene, int position) {
    return Search<T, double>(scene, position).suppressed(position);
}

template <typename T>
__global__ void __launch_bounds__(THREADS, sizeof(T) == 4 ? 8 : 4)
    suppress_kernel(Scene<T> scene, const int* positions, int n, int* next, bool* kept) {
    __shared__ int first;
    if (threadIdx.x == 0) first = atomicAdd(next, THREADS / WARP);
    __syncthreads();
    const int rank = first + threadIdx.x / WARP;
    if (rank >= n) return;
    const int position = positions[rank];
    const bool placed = level_of_key(scene.keys[position]) != NOWHERE;
    const bool dropped = placed && Search<T, T>(scene, position).suppressed(position);
    if (threadIdx.x % WARP == 0) {
        scene.states[position] = dropped ? DROPPED : KEPT;
        kept[rank] = !dropped;
    }
}

template <typename T>
T* pointer(const Tensor& bytes) {
    return static_cast<T*>(bytes.data_ptr());
}

// Sorts in ascending order; returns the sorted values and their indices.
std::tuple<Tensor, Tensor> stable_sort(const Tensor& values) {
    std::array<StableIValue, 4> stack{
        torch::stable::detail::from(values), torch::stable::detail::from(std::optional<bool>(true)),
        torch::stable::detail::from(int64_t(-1)), torch::stable::detail::from(false)};
    TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::sort", "stable", stack.data(), TORCH_ABI_VERSION));
    return {torch::stable::detail::to<Tensor>(stack[0]), torch::stable::detail::to<Tensor>(stack[1])};
}

Tensor selected(const Tensor& values, const Tensor& mask) {
    std::array<StableIValue, 2> stack{torch::stable::detail::from(values), torch::stable::detail::from(mask)};
    TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::masked_select", "", stack.data(), TORCH_ABI_VERSION));
    return torch::stable::detail::to<Tensor>(stack[0]);
}

// Indices of the scores, highest first; ties by index, NaN last.
template <typename scalar_t>
Tensor by_falling_score(const Tensor& scores, cudaStream_t stream) {
    using T = std::conditional_t<std::is_same_v<scalar_t, double>, int64_t, int32_t>;
    const int64_t n = scores.size(0);
    const ScalarType type = sizeof(T) == 8 ? ScalarType::Long : ScalarType::Int;
    Tensor keys = torch::stable::new_empty(scores, {n}, type);
    score_keys_kernel<<<blocks(ceil_div(n, THREADS)), THREADS, 0, stream>>>(
        scores.const_data_ptr<scalar_t>(), n, keys.mutable_data_ptr<T>());
    STD_CUDA_KERNEL_LAUNCH_CHECK();
    return std::get<1>(stable_sort(keys));
}

// Whether the box of each rank is kept: (N,) bool.
template <typename scalar_t>
Tensor kept(const Tensor& boxes, const int64_t* labels, const Tensor& order, double threshold, cudaStream_t stream) {
    using T = acc_t<scalar_t>;
    const int n = int(boxes.size(0));
    const unsigned grid = blocks(ceil_div(n, THREADS));
    const auto numbers = boxes.const_data_ptr<scalar_t>();
    const auto by_rank = order.const_data_ptr<int64_t>();
    Tensor unsorted = torch::stable::new_empty(boxes, {n}, ScalarType::Long);
    cell_keys_kernel<T><<<grid, THREADS, 0, stream>>>(
        numbers, labels, by_rank, n, unsorted.mutable_data_ptr<int64_t>());
    STD_CUDA_KERNEL_LAUNCH_CHECK();
    const auto [keys, ranks] = stable_sort(unsorted);

    const auto bytes = [&](int64_t size) { return torch::stable::new_empty(boxes, {size}, ScalarType::Byte); };
    const Tensor circles = bytes(n * sizeof(Circle<T>)), ready = bytes(n * sizeof(RotatedBox<T>));
    const Tensor classes = bytes(labels ? n * sizeof(int64_t) : 0), positions = bytes(n * sizeof(int));
    const Tensor zeros = torch::stable::new_zeros(boxes, {int64_t(sizeof(Progress)) + n}, ScalarType::Byte);
    Progress* const progress = pointer<Progress>(zeros);
    const Scene<T> scene{
        keys.const_data_ptr<int64_t>(), pointer<Circle<T>>(circles), pointer<RotatedBox<T>>(ready),
        labels ? pointer<int64_t>(classes) : nullptr, progress->levels, reinterpret_cast<unsigned char*>(progress + 1),
        threshold};
    arrange_kernel<<<grid, THREADS, 0, stream>>>(
        scene, numbers, labels, by_rank, ranks.const_data_ptr<int64_t>(), n, pointer<int>(positions));
    STD_CUDA_KERNEL_LAUNCH_CHECK();
    Tensor out = torch::stable::new_empty(boxes, {n}, ScalarType::Bool);
    suppress_kernel<<<blocks(ceil_div(n, THREADS / WARP)), THREADS, 0, stream>>>(
        scene, pointer<int>(positions), n, &progress->next, out.mutable_data_ptr<bool>());
    STD_CUDA_KERNEL_LAUNCH_CHECK();
    return out;
}

Tensor nms(const Tensor& boxes, const Tensor& scores, std::optional<Tensor> labels, double threshold) {
    const int64_t n = boxes.size(0);
    check_boxes("boxes", boxes, 5);
    STD_TORCH_CHECK(scores.dim() == 1 && scores.size(0) == n, "scores: need one per box");
    STD_TORCH_CHECK(!labels || (labels->dim() == 1 && labels->size(0) == n), "labels: need one per box");
    STD_TORCH_CHECK(n <= int64_t(1) << 30, "need 2^30 boxes at most, got ", n);
    if (n == 0) return torch::stable::new_empty(boxes, {0}, ScalarType::Long);
    const torch::stable::accelerator::DeviceGuard guard(boxes.get_device_index());
    const cudaStream_t stream = current_stream(boxes);
    const Tensor numbers = torch::stable::contiguous(boxes), values = torch::stable::contiguous(scores);
    if (labels) labels = torch::stable::contiguous(*labels);
    const int64_t* const classes = labels ? labels->const_data_ptr<int64_t>() : nullptr;
    Tensor order = values;
    dispatch_float("scores", values.scalar_type(), [&](auto zero) {
        order = by_falling_score<decltype(zero)>(values, stream);
    });
    Tensor mask = order;
    dispatch_float("boxes", numbers.scalar_type(), [&](auto zero) {
        mask = kept<decltype(zero)>(numbers, classes, order, threshold, stream);
    });
    return selected(order, mask);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(rotx_cuda, ROTX_DEVICE, m) { m.impl("nms_rotated", TORCH_BOX(&nms)); }

}  // namespace rotx
