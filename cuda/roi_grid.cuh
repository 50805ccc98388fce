// Sampling grid of rotated regions: that of rust/core/src/roi_align.rs, with the same names. All in double.
#pragma once

#include <cmath>
#include <cstdint>

namespace rotx {

// How regions are sampled.
struct Pooling {
    int64_t rows, columns;   // rows and columns of bins
    double spatial_scale;    // size of the feature map relative to the original image
    int64_t sampling_ratio;  // samples along each side of a bin; 0: one per pixel of the feature map, rounded up
    bool aligned;            // centre of the first pixel at 0.5; else at 0, and regions are at least 1 x 1 pixels
    bool clockwise;
};

// The shape of feature maps.
struct Maps {
    int64_t images, channels, height, width;
};

// A sample: four pixels of an image and their weights, already divided by the number of samples of the bin.
template <typename T>
struct alignas(16) Tap {
    uint32_t pixels[4];
    T weights[4];
};

// Samples of a bin along one axis that may lie in the image.
struct Samples {
    uint64_t first, count;
};

// Rounds down, and clamps to [0, 2^63]; NaN becomes 0.
__device__ inline uint64_t whole(double v) { return v > 0 ? v < 9.2e18 ? uint64_t(v) : uint64_t(1) << 63 : 0; }

// One axis of a region's frame: bins with equal numbers of samples.
struct Axis {
    double bins, bin, samples, step;  // number of bins, length of a bin, number of samples in it, and their spacing
    double low, high;                 // range of the image along this axis

    __device__ static Axis of(double size, double bins, double sampling_ratio, double image, double reach) {
        const double bin = size / bins, samples = sampling_ratio > 0 ? sampling_ratio : std::ceil(bin);
        // One pixel of margin for rounding.
        return {bins, bin, samples, bin / samples, image - reach - 1, image + reach + 1};
    }

    __device__ double start(int64_t i) const { return (double(i) - 0.5 * bins) * bin; }

    // Position of sample `j` of bin `i`, relative to the region's centre.
    __device__ double at(int64_t i, uint64_t j) const { return start(i) + (double(j) + 0.5) * step; }

    // Samples of bin `i` that may lie in the image: all, unless the region is much larger than the image.
    __device__ Samples in_image(int64_t i) const {
        const double begin = start(i);
        if (begin >= low && begin + bin <= high) return {0, whole(samples)};
        const uint64_t first = whole((low - begin) / step);
        const double last = std::ceil((high - begin) / step);
        const uint64_t end = whole(last < samples ? last : samples);
        return {first, end > first ? end - first : 0};
    }
};

// Sampling positions of one region, in pixels of the feature map.
struct Grid {
    double cx, cy, sin, cos;
    Axis down, across;
    double weight;  // of each sample in its bin
    int64_t image;  // -1: the index is out of range
    bool empty;     // nothing can be sampled

    __device__ static Grid of(const double* roi, const Pooling& pooling, const Maps& maps);

    // Computes the tap of sample `i`, `j` of bin `row`, `column`; returns false if it lies outside the image.
    template <typename T>
    __device__ bool tap(int64_t row, uint64_t i, int64_t column, uint64_t j, const Maps& maps, Tap<T>& tap) const;
};

__device__ inline Grid Grid::of(const double* roi, const Pooling& pooling, const Maps& maps) {
    Grid grid{};
    // NaN fails this comparison.
    const bool known = roi[0] >= 0 && roi[0] < double(maps.images) && roi[0] == std::floor(roi[0]);
    grid.image = known ? int64_t(roi[0]) : -1;
    const double offset = pooling.aligned ? 0.5 : 0, scale = pooling.spatial_scale;
    grid.cx = roi[1] * scale - offset;
    grid.cy = roi[2] * scale - offset;
    double w = roi[3] * scale, h = roi[4] * scale;
    const double angle = pooling.clockwise ? roi[5] : -roi[5];
    // If x is not finite, x - x is NaN and thus not equal to 0.
    const bool finite = grid.cx - grid.cx == 0 && grid.cy - grid.cy == 0 && w - w == 0 && h - h == 0
                     && angle - angle == 0;
    if (!pooling.aligned) {
        w = w > 1 ? w : 1;
        h = h > 1 ? h : 1;
    }
    grid.empty = !(known && finite && w >= 0 && h >= 0 && maps.height > 0 && maps.width > 0);
    if (grid.empty) return grid;
    grid.sin = std::sin(angle);
    grid.cos = std::cos(angle);
    const double sin = std::fabs(grid.sin), cos = std::fabs(grid.cos);
    // The sampled area of the image in the region's frame: its centre and half extent.
    const double to_x = 0.5 * (double(maps.width) - 1) - grid.cx, reach_x = 0.5 * (double(maps.width) + 1);
    const double to_y = 0.5 * (double(maps.height) - 1) - grid.cy, reach_y = 0.5 * (double(maps.height) + 1);
    const double down = to_y * grid.cos - to_x * grid.sin, across = to_x * grid.cos + to_y * grid.sin;
    const double ratio = double(pooling.sampling_ratio);
    grid.down = Axis::of(h, double(pooling.rows), ratio, down, reach_y * cos + reach_x * sin);
    grid.across = Axis::of(w, double(pooling.columns), ratio, across, reach_x * cos + reach_y * sin);
    grid.weight = 1 / (grid.down.samples * grid.across.samples);
    return grid;
}

template <typename T>
__device__ bool Grid::tap(int64_t row, uint64_t i, int64_t column, uint64_t j, const Maps& maps, Tap<T>& tap) const {
    const double v = down.at(row, i), u = across.at(column, j);
    double x = cx - v * sin + u * cos, y = cy + v * cos + u * sin;
    const double last_x = double(maps.width) - 1, last_y = double(maps.height) - 1;
    if (!(x >= -1 && x <= last_x + 1 && y >= -1 && y <= last_y + 1)) return false;
    // Points up to one pixel outside the outer centres are clamped to them.
    x = x < 0 ? 0 : x > last_x ? last_x : x;
    y = y < 0 ? 0 : y > last_y ? last_y : y;
    const uint32_t width = uint32_t(maps.width), left = uint32_t(x), top = uint32_t(y);
    const uint32_t right = left + (double(left) < last_x), bottom = top + (double(top) < last_y);
    const double dx = x - left, dy = y - top;
    const double above = weight * (1 - dy), below = weight * dy;
    tap = {{top * width + left, top * width + right, bottom * width + left, bottom * width + right},
           {T(above * (1 - dx)), T(above * dx), T(below * (1 - dx)), T(below * dx)}};
    return true;
}

}  // namespace rotx
