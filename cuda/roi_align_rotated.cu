// rotx_cuda::roi_align_rotated and its backward: bilinear samples of rotated boxes.
//
// Features are read, and gradients summed, channels-last: the lanes of a warp are channels and access adjacent numbers.
// A block takes up to CHANNELS channels and BINS bins of one region, and a warp up to RUN of these bins. First, each
// lane computes the position and weights of one sample, in double; then all lanes process the samples together.
#include <cmath>
#include <vector>

#include "common.cuh"
#include "roi_grid.cuh"

namespace rotx {
namespace {

constexpr int WARP = 32, WARPS = 8, THREADS = WARP * WARPS;
constexpr unsigned ALL = ~0u;
constexpr int RUN = 8;  // largest number of bins of a warp
constexpr int BINS = RUN * WARPS;
constexpr int TILE = 32;  // side of the square tiles of a transposition

// Channels per lane: double needs twice the shared memory.
template <typename T>
constexpr int PER_LANE = sizeof(T) == 8 ? 1 : 2;
template <typename T>
constexpr int CHANNELS = WARP * PER_LANE<T>;

// Calls `use(bin, tap)` for the samples of a warp's bins that lie in the image, in the order of the bins. The warp has
// every WARPS-th bin of the part from `first` on; `bin` counts them. `taps` and `bins_of` are buffers of the warp.
template <typename T, typename Use>
__device__ void for_taps(const Grid& grid, int64_t first, int bins, int64_t all_columns, const Maps& maps, Tap<T>* taps,
                         int* bins_of, Use use) {
    const int lane = threadIdx.x % WARP;
    // The first lanes have one bin each: its samples, and the number of samples up to it.
    Samples rows{0, 0}, columns{0, 0};
    if (lane < bins) {
        const int64_t bin = first + lane * WARPS;
        rows = grid.down.in_image(bin / all_columns);
        columns = grid.across.in_image(bin % all_columns);
    }
    uint64_t upto = rows.count * columns.count;
    for (int step = 1; step < RUN; step *= 2) {
        const uint64_t before = __shfl_up_sync(ALL, upto, step);
        if (lane >= step) upto += before;
    }
    const uint64_t total = __shfl_sync(ALL, upto, RUN - 1);
    for (uint64_t start = 0; start < total; start += WARP) {
        const uint64_t number = start + lane;
        int own = 0;  // the bin of this sample: the first whose sum is larger
        for (int step = RUN / 2; step > 0; step /= 2) {
            if (__shfl_sync(ALL, upto, own + step - 1) <= number) own += step;
        }
        const uint64_t row = __shfl_sync(ALL, rows.first, own), column = __shfl_sync(ALL, columns.first, own);
        const uint64_t high = __shfl_sync(ALL, rows.count, own), wide = __shfl_sync(ALL, columns.count, own);
        const uint64_t t = number - (__shfl_sync(ALL, upto, own) - high * wide);
        const int64_t bin = first + own * WARPS;
        Tap<T> tap;
        const bool inside = number < total && grid.tap(
            bin / all_columns, row + t / wide, bin % all_columns, column + t % wide, maps, tap);
        const unsigned found = __ballot_sync(ALL, inside);
        if (inside) {
            const int place = __popc(found & ((1u << lane) - 1));
            taps[place] = tap;
            bins_of[place] = own;
        }
        __syncwarp();
        const int n = __popc(found);
        for (int k = 0; k < n; ++k) use(bins_of[k], taps[k]);
        __syncwarp();
    }
}

// The part of the output that a block computes.
template <typename T>
struct Part {
    int64_t roi, channel, bin;  // the first of each
    int channels, bins;         // number of each

    // Number of bins of a warp.
    __device__ int run(int warp) const { return (bins - warp + WARPS - 1) / WARPS; }

    __device__ static Part of_block(int64_t rois, int64_t all_channels, int64_t all_bins) {
        // Channels change slowest: blocks that run at about the same time read a part of the maps that fits in the
        // caches.
        const int64_t tiles = (all_bins + BINS - 1) / BINS, block = blockIdx.x % (rois * tiles);
        const int64_t channel = blockIdx.x / (rois * tiles) * CHANNELS<T>, bin = block % tiles * BINS;
        const int64_t channels = all_channels - channel, bins = all_bins - bin;
        return {block / tiles, channel, bin, int(channels < CHANNELS<T> ? channels : CHANNELS<T>),
                int(bins < BINS ? bins : BINS)};
    }
};

template <typename T>
int64_t parts(int64_t rois, int64_t channels, int64_t bins) {
    return rois * ceil_div(bins, BINS) * ceil_div(channels, CHANNELS<T>);
}

__global__ void grids_kernel(const double* rois, int64_t count, Pooling pooling, Maps maps, Grid* grids) {
    const int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < count) grids[i] = Grid::of(rois + 6 * i, pooling, maps);
}

// `pixels` is channels-last, `out` is not.
template <typename scalar_t, typename T = acc_t<scalar_t>>
__global__ void __launch_bounds__(THREADS, 4) forward_kernel(
    const scalar_t* pixels, Maps maps, const Grid* grids, int64_t count, Pooling pooling, scalar_t* out) {
    __shared__ Grid grid;
    __shared__ Tap<T> taps[WARPS][WARP];
    __shared__ int bins_of[WARPS][WARP];
    __shared__ T features[CHANNELS<T>][BINS + 1];
    const int64_t all_bins = pooling.rows * pooling.columns;
    const Part<T> part = Part<T>::of_block(count, maps.channels, all_bins);
    if (threadIdx.x == 0) grid = grids[part.roi];
    __syncthreads();
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    // A kernel cannot raise an error: an image index out of range gives NaN.
    for (int bin = warp; bin < part.bins; bin += WARPS) {
        for (int k = 0; k < PER_LANE<T>; ++k) features[lane + k * WARP][bin] = grid.image < 0 ? T(NAN) : T(0);
    }
    if (!grid.empty) {
        const scalar_t* of_lane[PER_LANE<T>];
        for (int k = 0; k < PER_LANE<T>; ++k) {
            // Lanes without a channel repeat the last one.
            const int channel = min(lane + k * WARP, part.channels - 1);
            of_lane[k] = pixels + grid.image * maps.height * maps.width * maps.channels + part.channel + channel;
        }
        T sum[PER_LANE<T>] = {};
        int current = 0;
        const auto store = [&] {
            for (int k = 0; k < PER_LANE<T>; ++k) {
                features[lane + k * WARP][warp + current * WARPS] = sum[k];
                sum[k] = 0;
            }
        };
        const auto use = [&](int bin, const Tap<T>& tap) {
            if (bin != current) store();
            current = bin;
            const T* const w = tap.weights;
            for (int k = 0; k < PER_LANE<T>; ++k) {
                T v[4];
                for (int c = 0; c < 4; ++c) v[c] = static_cast<T>(of_lane[k][int64_t(tap.pixels[c]) * maps.channels]);
                sum[k] += (w[0] * v[0] + w[1] * v[1]) + (w[2] * v[2] + w[3] * v[3]);
            }
        };
        for_taps(grid, part.bin + warp, part.run(warp), pooling.columns, maps, taps[warp], bins_of[warp], use);
        if (warp < part.bins) store();
    }
    __syncthreads();
    scalar_t* const to = out + (part.roi * maps.channels + part.channel) * all_bins + part.bin;
    for (int i = threadIdx.x; i < part.channels * part.bins; i += THREADS) {
        const int channel = i / part.bins, bin = i % part.bins;
        to[channel * all_bins + bin] = static_cast<scalar_t>(features[channel][bin]);
    }
}

// Sums of integers are bit-identical in any order. Their unit is a power of two for which the largest sum that all bins
// could give one pixel stays below 2^61: the weights of a bin add up to at most 1.
using Fixed = unsigned long long;
constexpr int FIXED_BITS = 61;

// log2 of the number of units per 1, from the bits of the largest absolute gradient and log2 of the number of bins.
__device__ inline int fixed_exponent(const Fixed* greatest, int log2_bins) {
    int exponent = 0;
    std::frexp(__longlong_as_double(static_cast<long long>(*greatest)), &exponent);
    exponent = FIXED_BITS - exponent - log2_bins;
    return exponent < 1000 ? exponent : 1000;
}

// How gradients are summed: in T, in the order of arrival, or in integers.
template <typename T>
struct InOrder {
    using Sum = T;
    __device__ static InOrder ready(const Fixed*, int) { return {}; }
    __device__ void add(T* sum, T value) const { atomicAdd(sum, value); }
};

template <typename T>
struct InIntegers {
    using Sum = Fixed;
    double units;
    __device__ static InIntegers ready(const Fixed* greatest, int log2_bins) {
        return {std::ldexp(1.0, fixed_exponent(greatest, log2_bins))};
    }
    __device__ void add(Fixed* sum, T value) const {
        atomicAdd(sum, static_cast<Fixed>(__double2ll_rn(double(value) * units)));
    }
};

// `pixels` is channels-last, `grad` is not.
template <typename Adding, typename scalar_t, typename T = acc_t<scalar_t>>
__global__ void __launch_bounds__(THREADS, 4) backward_kernel(
    const scalar_t* grad, Maps maps, const Grid* grids, int64_t count, Pooling pooling, const Fixed* greatest,
    int log2_bins, typename Adding::Sum* pixels) {
    __shared__ Grid grid;
    __shared__ Tap<T> taps[WARPS][WARP];
    __shared__ int bins_of[WARPS][WARP];
    __shared__ T features[CHANNELS<T>][BINS + 1];
    const int64_t all_bins = pooling.rows * pooling.columns;
    const Part<T> part = Part<T>::of_block(count, maps.channels, all_bins);
    if (threadIdx.x == 0) grid = grids[part.roi];
    const scalar_t* const from = grad + (part.roi * maps.channels + part.channel) * all_bins + part.bin;
    for (int i = threadIdx.x; i < part.channels * part.bins; i += THREADS) {
        const int channel = i / part.bins, bin = i % part.bins;
        features[channel][bin] = static_cast<T>(from[channel * all_bins + bin]);
    }
    __syncthreads();
    if (grid.empty) return;
    const Adding adding = Adding::ready(greatest, log2_bins);
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    auto* const image = pixels + grid.image * maps.height * maps.width * maps.channels;
    const auto use = [&](int bin, const Tap<T>& tap) {
        for (int k = 0; k < PER_LANE<T>; ++k) {
            if (lane + k * WARP >= part.channels) continue;
            const T value = features[lane + k * WARP][warp + bin * WARPS];
            auto* const at = image + part.channel + lane + k * WARP;
            for (int c = 0; c < 4; ++c) adding.add(at + int64_t(tap.pixels[c]) * maps.channels, tap.weights[c] * value);
        }
    };
    for_taps(grid, part.bin + warp, part.run(warp), pooling.columns, maps, taps[warp], bins_of[warp], use);
}

// Finds the bits of the largest absolute value: bits compare as integers like the values; those of NaN are the largest.
template <typename scalar_t>
__global__ void greatest_kernel(const scalar_t* values, int64_t n, Fixed* greatest) {
    Fixed most = 0;
    for (int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x; i < n; i += int64_t(gridDim.x) * THREADS) {
        const double size = std::fabs(static_cast<double>(static_cast<acc_t<scalar_t>>(values[i])));
        const Fixed bits = static_cast<Fixed>(__double_as_longlong(size));
        most = bits > most ? bits : most;
    }
    for (int step = WARP / 2; step > 0; step /= 2) {
        const Fixed other = __shfl_xor_sync(ALL, most, step);
        most = other > most ? other : most;
    }
    if (threadIdx.x % WARP == 0) atomicMax(greatest, most);
}

// Conversions of numbers during a transposition.
template <typename T>
struct Same {
    __device__ static Same ready(const Fixed*, int) { return {}; }
    template <typename From>
    __device__ T operator()(From value) const { return static_cast<T>(value); }
};

template <typename T>
struct OfUnits {
    double unit;
    __device__ static OfUnits ready(const Fixed* greatest, int log2_bins) {
        const double most = __longlong_as_double(static_cast<long long>(*greatest));
        // NaN everywhere if a gradient is not finite: integers cannot represent it.
        return {most - most == 0 ? std::ldexp(1.0, -fixed_exponent(greatest, log2_bins)) : double(NAN)};
    }
    __device__ T operator()(Fixed sum) const { return static_cast<T>(double(static_cast<long long>(sum)) * unit); }
};

// Transposes matrices (·, rows, columns) to (·, columns, rows): to channels-last or back.
template <typename Convert, typename From, typename To, typename T = acc_t<To>>
__global__ void transpose_kernel(
    const From* from, int64_t rows, int64_t columns, const Fixed* greatest, int log2_bins, To* to) {
    __shared__ T tile[TILE][TILE + 1];
    const Convert convert = Convert::ready(greatest, log2_bins);
    const int64_t down = (rows + TILE - 1) / TILE, across = (columns + TILE - 1) / TILE;
    const int64_t matrix = blockIdx.x / (down * across), row = blockIdx.x / across % down * TILE;
    const int64_t column = blockIdx.x % across * TILE;
    const int x = threadIdx.x % TILE, y = threadIdx.x / TILE;
    from += matrix * rows * columns;
    to += matrix * rows * columns;
    for (int i = y; i < TILE; i += THREADS / TILE) {
        if (row + i < rows && column + x < columns) tile[i][x] = convert(from[(row + i) * columns + column + x]);
    }
    __syncthreads();
    for (int i = y; i < TILE; i += THREADS / TILE) {
        if (column + i < columns && row + x < rows) {
            to[(column + i) * rows + row + x] = static_cast<To>(tile[x][i]);
        }
    }
}

template <typename Convert, typename From, typename To>
void transpose(const From* from, int64_t matrices, int64_t rows, int64_t columns, const Fixed* greatest,
               int log2_bins, To* to, cudaStream_t stream) {
    const int64_t tiles = matrices * ceil_div(rows, TILE) * ceil_div(columns, TILE);
    if (tiles == 0) return;
    transpose_kernel<Convert><<<blocks(tiles), THREADS, 0, stream>>>(from, rows, columns, greatest, log2_bins, to);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
}

bool is_channels_last(const Tensor& maps) {
    int64_t step = 1;
    for (const int i : {1, 3, 2, 0}) {
        if (maps.size(i) != 1 && maps.stride(i) != step) return false;
        step *= maps.size(i);
    }
    return true;
}

template <typename scalar_t>
Tensor channels_last(const Tensor& maps, cudaStream_t stream) {
    if (is_channels_last(maps)) return maps;
    const Tensor from = torch::stable::contiguous(maps);
    Tensor to = torch::stable::new_empty(maps, {maps.numel()});
    transpose<Same<acc_t<scalar_t>>>(
        from.const_data_ptr<scalar_t>(), maps.size(0), maps.size(1), maps.size(2) * maps.size(3), nullptr, 0,
        to.mutable_data_ptr<scalar_t>(), stream);
    return to;
}

Maps maps_of(const std::vector<int64_t>& size) {
    STD_TORCH_CHECK(size[2] * size[3] < int64_t(1) << 32, "input: need fewer than 2^32 pixels per image");
    return {size[0], size[1], size[2], size[3]};
}

// Computes the grids of all regions, as bytes.
Tensor grids_of(const Tensor& rois, const Pooling& pooling, const Maps& maps, cudaStream_t stream) {
    check_boxes("rois", rois, 6);
    STD_TORCH_CHECK(rois.scalar_type() == ScalarType::Double && rois.is_contiguous(),
                    "rois: need a contiguous float64 tensor");
    const int64_t count = rois.size(0);
    Tensor grids = torch::stable::new_empty(rois, {count * int64_t(sizeof(Grid))}, ScalarType::Byte);
    grids_kernel<<<blocks(ceil_div(count, THREADS)), THREADS, 0, stream>>>(
        rois.const_data_ptr<double>(), count, pooling, maps, static_cast<Grid*>(grids.mutable_data_ptr()));
    STD_CUDA_KERNEL_LAUNCH_CHECK();
    return grids;
}

Tensor forward(const Tensor& input, const Tensor& rois, std::vector<int64_t> output_size, double spatial_scale,
               int64_t sampling_ratio, bool aligned, bool clockwise) {
    const Maps maps = maps_of({input.size(0), input.size(1), input.size(2), input.size(3)});
    const Pooling pooling{output_size[0], output_size[1], spatial_scale, sampling_ratio, aligned, clockwise};
    const int64_t count = rois.size(0);
    Tensor out = torch::stable::new_empty(input, {count, maps.channels, pooling.rows, pooling.columns});
    if (out.numel() == 0) return out;
    const torch::stable::accelerator::DeviceGuard guard(input.get_device_index());
    const cudaStream_t stream = current_stream(input);
    const Tensor grids = grids_of(rois, pooling, maps, stream);
    dispatch_float("input", input.scalar_type(), [&](auto zero) {
        using scalar_t = decltype(zero);
        const Tensor pixels = channels_last<scalar_t>(input, stream);
        const int64_t n = parts<acc_t<scalar_t>>(count, maps.channels, pooling.rows * pooling.columns);
        forward_kernel<scalar_t><<<blocks(n), THREADS, 0, stream>>>(
            pixels.const_data_ptr<scalar_t>(), maps, static_cast<const Grid*>(grids.const_data_ptr()), count, pooling,
            out.mutable_data_ptr<scalar_t>());
        STD_CUDA_KERNEL_LAUNCH_CHECK();
    });
    return out;
}

// Sums the gradients channels-last by `Adding`, then writes them channels-first to `out` by `Convert`.
template <typename Adding, typename Convert, typename scalar_t>
void scatter(const Tensor& grad, const Maps& maps, const Tensor& rois, const Pooling& pooling, const Fixed* greatest,
             ScalarType sum_type, Tensor& out, cudaStream_t stream) {
    using Sum = typename Adding::Sum;
    const int64_t count = rois.size(0), bins = pooling.rows * pooling.columns;
    int log2_bins = 0;
    while (int64_t(1) << log2_bins < count * bins) ++log2_bins;
    Tensor sums = torch::stable::new_zeros(grad, {out.numel()}, sum_type);
    Sum* const pixels = static_cast<Sum*>(sums.mutable_data_ptr());
    if (grad.numel() > 0) {
        const Tensor grids = grids_of(rois, pooling, maps, stream);
        const int64_t n = parts<acc_t<scalar_t>>(count, maps.channels, bins);
        backward_kernel<Adding><<<blocks(n), THREADS, 0, stream>>>(
            grad.const_data_ptr<scalar_t>(), maps, static_cast<const Grid*>(grids.const_data_ptr()), count, pooling,
            greatest, log2_bins, pixels);
        STD_CUDA_KERNEL_LAUNCH_CHECK();
    }
    transpose<Convert>(static_cast<const Sum*>(pixels), maps.images, maps.height * maps.width, maps.channels, greatest,
                       log2_bins, out.mutable_data_ptr<scalar_t>(), stream);
}

template <typename scalar_t>
Tensor greatest_of(const Tensor& values, cudaStream_t stream) {
    Tensor greatest = torch::stable::new_zeros(values, {1}, ScalarType::Long);
    const int64_t n = values.numel(), full = ceil_div(n, THREADS);
    if (n > 0) {
        greatest_kernel<<<blocks(full < 1024 ? full : 1024), THREADS, 0, stream>>>(
            values.const_data_ptr<scalar_t>(), n, static_cast<Fixed*>(greatest.mutable_data_ptr()));
        STD_CUDA_KERNEL_LAUNCH_CHECK();
    }
    return greatest;
}

Tensor backward(const Tensor& grad, const Tensor& rois, std::vector<int64_t> input_size, double spatial_scale,
                int64_t sampling_ratio, bool aligned, bool clockwise, bool deterministic) {
    const Maps maps = maps_of(input_size);
    const Pooling pooling{grad.size(2), grad.size(3), spatial_scale, sampling_ratio, aligned, clockwise};
    Tensor out = torch::stable::new_empty(grad, {maps.images, maps.channels, maps.height, maps.width});
    if (out.numel() == 0) return out;
    const torch::stable::accelerator::DeviceGuard guard(grad.get_device_index());
    const cudaStream_t stream = current_stream(grad);
    const Tensor values = torch::stable::contiguous(grad);
    dispatch_float("grad", grad.scalar_type(), [&](auto zero) {
        using scalar_t = decltype(zero);
        using T = acc_t<scalar_t>;
        if (deterministic) {
            const Tensor greatest = greatest_of<scalar_t>(values, stream);
            scatter<InIntegers<T>, OfUnits<T>, scalar_t>(
                values, maps, rois, pooling, static_cast<const Fixed*>(greatest.const_data_ptr()), ScalarType::Long, out,
                stream);
        } else {
            const ScalarType sum_type = sizeof(T) == 8 ? ScalarType::Double : ScalarType::Float;
            scatter<InOrder<T>, Same<T>, scalar_t>(values, maps, rois, pooling, nullptr, sum_type, out, stream);
        }
    });
    return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(rotx_cuda, ROTX_DEVICE, m) {
    m.impl("roi_align_rotated", TORCH_BOX(&forward));
    m.impl("roi_align_rotated_backward", TORCH_BOX(&backward));
}

}  // namespace rotx
