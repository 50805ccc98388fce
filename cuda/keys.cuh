// Sort keys of boxes for nms_rotated.cu: falling score, and the cell of a grid.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

namespace rotx {

// An integer that sorts scores in falling order, NaN last.
__device__ inline int32_t falling_key(float score) {
    const int32_t bits = __float_as_int(score + 0.0f);  // + 0: the two zeros are equal scores
    return score != score ? INT32_MAX : bits < 0 ? bits ^ INT32_MIN : ~bits;
}
__device__ inline int64_t falling_key(double score) {
    const int64_t bits = __double_as_longlong(score + 0.0);
    return score != score ? INT64_MAX : bits < 0 ? bits ^ INT64_MIN : ~bits;
}

// Key of a cell, from the highest bits: level, hash of the label, row, column. Rows and columns are clamped to the
// grid. Boxes too large for the other levels are on level TOP, in a single cell; boxes without area are on level
// NOWHERE.
constexpr int TOP = 62, NOWHERE = 63, LEVELS = 64;
constexpr int HASH_BITS = 10, CELL_BITS = 24;
constexpr int UNIT = 20;  // the level whose cells have side 1

// Boxes at the positions begin <= p < end.
struct Range {
    int begin, end;
};

__device__ inline int level_of(double diameter) {
    // From the exponent field: the diameter is less than two to this power. A diameter of 0 is on the lowest level.
    const int exponent = int(__double_as_longlong(diameter) >> 52) - 1022;
    return min(max(((exponent + 1) >> 1) + UNIT, 0), TOP);
}

// Two to the `power`; the result must be a normal number.
__device__ inline double exp2_of(int power) { return __longlong_as_double(int64_t(1023 + power) << 52); }

// Row or column of the cell that contains a coordinate, clamped to the grid.
__device__ inline int cell_of(double v, int level) {
    constexpr double HALF = 1 << (CELL_BITS - 1);
    const double cell = std::floor(v * exp2_of(-2 * (level - UNIT)));
    return int((cell < -HALF ? -HALF : cell > HALF - 1 ? HALF - 1 : cell) + HALF);
}

__device__ inline int64_t cell_key(int level, int64_t label, int row, int column) {
    const uint64_t hash = uint64_t(label) * 0x9E3779B97F4A7C15 >> (64 - HASH_BITS);
    const uint64_t key = ((uint64_t(level) << HASH_BITS | hash) << CELL_BITS | row) << CELL_BITS | column;
    return int64_t(key ^ uint64_t(1) << 63);  // signed order equals unsigned order
}

__device__ inline int level_of_key(int64_t key) {
    return int((uint64_t(key) ^ uint64_t(1) << 63) >> (HASH_BITS + 2 * CELL_BITS));
}

// First position in the range whose key is not less than `key`, or the end of the range.
__device__ inline int lower_bound(const int64_t* keys, Range range, int64_t key) {
    while (range.begin < range.end) {
        const int middle = range.begin + (range.end - range.begin) / 2;
        if (keys[middle] < key) {
            range.begin = middle + 1;
        } else {
            range.end = middle;
        }
    }
    return range.begin;
}

}  // namespace rotx
