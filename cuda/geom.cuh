// Overlap of rotated boxes: the algorithm of rust/core/src/iou.rs, for the device and for the host.
//
// No vertex is ever classified as inside or outside: one box, the window, is mapped to an axis-aligned box; by
// Green's theorem the area of the other within it is a sum over the other's edges of ∫ clamp(x) dy, each of them
// in closed form. Every step is continuous in the input, so edges that coincide are nothing special.
//
// What float needs beyond that is the window's frame: a sine of 24 bits moves the far end of a long box by more
// than a thin one is thick. So sines, cosines and differences are kept as unevaluated sums of two numbers until
// the products that cancel have cancelled; from there on 24 bits are enough: what is rounded is small against
// the union.
//
// Compiled by nvcc, and by any C++17 compiler for the tests. Not to be built with -use_fast_math or -ffast-math.
#pragma once

#include <cmath>

#ifdef __CUDACC__
#define ROTX_HD __host__ __device__ __forceinline__
#else
#define ROTX_HD inline
#endif

namespace rotx {

// What the intersection is divided by: the union of both, or the first box.
enum class Mode { Iou, Iof };

// An intersection smaller than this part of the smaller box is rounding, and counts as none.
template <typename T>
constexpr T NEGLIGIBLE = T(1e-12);
template <>
constexpr float NEGLIGIBLE<float> = 5e-7f;

// Circles whose centres are this much further apart than their radii reach do not meet, rounding or not.
template <typename T>
constexpr T APART = T(1) + T(1e-5);

// The number hi + lo, where lo is what hi lost to rounding.
template <typename T>
struct Pair {
    T hi, lo;

    ROTX_HD Pair operator-() const { return {-hi, -lo}; }
};

// a - b without rounding (Knuth 1969).
template <typename T>
ROTX_HD Pair<T> difference(T a, T b) {
    const T hi = a - b;
    const T back = hi - a;
    return {hi, (a - (hi - back)) - (b + back)};
}

// a·b + c·d, to about two roundings of the result however much cancels (Kahan; Jeannerod et al. 2013).
template <typename T>
ROTX_HD T dot(Pair<T> a, Pair<T> b, Pair<T> c, Pair<T> d) {
    const T cd = c.hi * d.hi;
    const T lost = std::fma(c.hi, d.hi, -cd);
    const T low = (a.hi * b.lo + a.lo * b.hi) + (c.hi * d.lo + c.lo * d.hi);
    return std::fma(a.hi, b.hi, cd) + (lost + low);
}

template <typename T>
ROTX_HD T clamp(T v, T limit) {
    return v < -limit ? -limit : v > limit ? limit : v;
}

// A rotated box cx, cy, w, h, angle ready for intersections; the angle in radians, clockwise with y down.
template <typename T>
struct RotatedBox {
    T cx, cy, w, h, angle;
    Pair<T> sin, cos;
    T area;    // 0 where a size is not positive or a number is not finite
    T radius;  // of the circle around it
};

template <typename T>
ROTX_HD RotatedBox<T> prepare(const T* raw) {
    RotatedBox<T> box{raw[0], raw[1], raw[2], raw[3], raw[4], {0, 0}, {1, 0}, 0, 0};
    const T area = box.w * box.h;
    // x - x is NaN, and unequal to 0, where x is not finite.
    const bool finite = box.cx - box.cx == 0 && box.cy - box.cy == 0 && box.angle - box.angle == 0;
    if (!(finite && box.w > 0 && box.h > 0 && area > 0 && area - area == 0)) return box;
    // In double for float too: once a box, not once a pair.
    const double sin = std::sin(double(box.angle)), cos = std::cos(double(box.angle));
    box.sin = {T(sin), T(sin - double(T(sin)))};
    box.cos = {T(cos), T(cos - double(T(cos)))};
    box.area = area;
    box.radius = T(0.5) * std::sqrt(box.w * box.w + box.h * box.h);
    return box;
}

// Whether the circles around both meet; false where either has no area.
template <typename T>
ROTX_HD bool meet(const RotatedBox<T>& a, const RotatedBox<T>& b) {
    const T dx = a.cx - b.cx, dy = a.cy - b.cy, reach = (a.radius + b.radius) * APART<T>;
    return a.area > 0 && b.area > 0 && dx * dx + dy * dy < reach * reach;
}

// An order of boxes that does not depend on which of two comes first.
template <typename T>
ROTX_HD bool before(const RotatedBox<T>& a, const RotatedBox<T>& b) {
    if (a.area != b.area) return a.area < b.area;
    if (a.cx != b.cx) return a.cx < b.cx;
    if (a.cy != b.cy) return a.cy < b.cy;
    if (a.w != b.w) return a.w < b.w;
    if (a.h != b.h) return a.h < b.h;
    return a.angle < b.angle;
}

// The area of `self` within `window`, the smaller of the two.
template <typename T>
ROTX_HD T area_within(const RotatedBox<T>& self, const RotatedBox<T>& window) {
    const Pair<T> dx = difference(self.cx, window.cx), dy = difference(self.cy, window.cy);
    // Everything below is in the window's frame: centre at the origin, sides along the axes.
    const T cx = dot(dx, window.cos, dy, window.sin), cy = dot(dy, window.cos, -dx, window.sin);
    const T cos = dot(self.cos, window.cos, self.sin, window.sin);
    const T sin = dot(self.sin, window.cos, -self.cos, window.sin);
    const T wx = T(0.5) * self.w * cos, wy = T(0.5) * self.w * sin;
    const T hx = T(-0.5) * self.h * sin, hy = T(0.5) * self.h * cos;
    const T x[4] = {cx + wx + hx, cx - wx + hx, cx - wx - hx, cx + wx - hx};
    const T y[4] = {cy + wy + hy, cy - wy + hy, cy - wy - hy, cy + wy - hy};
    const T xmax = T(0.5) * window.w, ymax = T(0.5) * window.h;
    // dx/dy of the edges, opposite ones alike; of a flat one anything, since it is left out below.
    const T slope[2] = {wx / wy, hx / hy};
    T twice[4];
    for (int i = 0; i < 4; ++i) {
        const int j = (i + 1) % 4;
        // The part of the edge within the window's rows, from (xa, ya) to (xb, yb).
        const T ya = clamp(y[i], ymax), yb = clamp(y[j], ymax);
        const T xa = x[i] + (ya - y[i]) * slope[i % 2], xb = x[j] + (yb - y[j]) * slope[i % 2];
        // The mean of clamp(x) along it, twice: ma + mb, less what lies beyond the window at either end.
        const T ma = clamp(xa, xmax), mb = clamp(xb, xmax);
        const T inside = xa == xb ? T(0) : (mb - ma) / (xb - xa);
        const T mean = (ma + mb) - inside * ((ma - xa) - (xb - mb));
        twice[i] = ya == yb ? T(0) : mean * (yb - ya);
    }
    return T(0.5) * ((twice[0] + twice[2]) + (twice[1] + twice[3]));
}

// The area common to both, never negative; the same for (a, b) and (b, a).
template <typename T>
ROTX_HD T intersection(const RotatedBox<T>& a, const RotatedBox<T>& b) {
    if (!meet(a, b)) return 0;
    // The smaller one is the window: coordinates relative to it keep their digits.
    const T area = before(a, b) ? area_within(b, a) : area_within(a, b);
    const T smaller = a.area < b.area ? a.area : b.area;
    // Less is rounding; and NaN, where the numbers overflow, compares as less.
    return area > NEGLIGIBLE<T> * smaller ? area : T(0);
}

// IoU or IoF, between 0 and 1, never NaN; 0 where either has no area.
template <typename T>
ROTX_HD T overlap(const RotatedBox<T>& a, const RotatedBox<T>& b, Mode mode) {
    const T area = intersection(a, b);
    if (area == 0) return 0;
    const T whole = mode == Mode::Iou ? a.area + b.area - area : a.area;
    return area < whole ? area / whole : T(1);
}

}  // namespace rotx
