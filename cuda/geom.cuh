// Overlap of rotated boxes and of quads: the algorithm of rust/core/src/iou.rs, for device and host.
//
// No vertex is ever classified as inside or outside. One shape, the window, is mapped to an axis-aligned box or to the
// unit triangle. By Green's theorem the area of the other shape within it is the sum of ∫ clamp(x) dy over the other's
// edges, in closed form. Every step is continuous in the input, so coinciding edges need no special case.
//
// In float, lengths need extra care: the error of a 24-bit sine moves the far end of a long box by more than the width
// of a thin one. So sines, cosines and differences are kept as unevaluated sums of two numbers until the distances of
// the sides from the window's centre are known, and edges are cut on the lines of these sides, not from corners, which
// may be far away. From there on, 24 bits suffice: rounding errors are small relative to the window. Quads have no such
// frame and are computed in double for every dtype.
//
// Compiled by nvcc, and for the tests by any C++17 compiler. Do not build with -use_fast_math or -ffast-math.
#pragma once

#include <cmath>

#ifdef __CUDACC__
#define ROTX_HD __host__ __device__ __forceinline__
#else
#define ROTX_HD inline
#endif

namespace rotx {

// Divisor of the intersection: the area of the union, or of the first box.
enum class Mode { Iou, Iof };

// An intersection below this share of the smaller box is rounding and counts as 0.
template <typename T>
constexpr T NEGLIGIBLE = T(1e-12);
template <>
constexpr float NEGLIGIBLE<float> = 5e-7f;

// Circles do not meet, whatever the rounding, if the distance of their centres exceeds the sum of their radii by this
// factor.
template <typename T>
constexpr T APART = T(1) + T(1e-5);

// The unevaluated sum hi + lo, where lo is the rounding error of hi.
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

// a·b + c·d to about twice the digits of T, even under cancellation.
template <typename T>
ROTX_HD Pair<T> dot(Pair<T> a, Pair<T> b, Pair<T> c, Pair<T> d) {
    // Not `*`: the compiler may fuse it with an addition, and the rounding error would be unknown.
    const T ab = std::fma(a.hi, b.hi, T(0)), cd = std::fma(c.hi, d.hi, T(0));
    const T lost = std::fma(a.hi, b.hi, -ab) + std::fma(c.hi, d.hi, -cd);
    const Pair<T> sum = difference(ab, -cd);
    // Fused so that these terms cancel if (c, d) = (−b, a), as for the angle of a box with itself.
    const T small = std::fma(a.lo, b.hi, a.hi * b.lo) + std::fma(c.hi, d.lo, c.lo * d.hi);
    return {sum.hi, sum.lo + lost + small};
}

template <typename T>
ROTX_HD T clamp(T v, T limit) {
    return v < -limit ? -limit : v > limit ? limit : v;
}

// A rotated box cx, cy, w, h, angle prepared for intersections; the angle in radians, clockwise positive with y down.
template <typename T>
struct RotatedBox {
    using scalar = T;
    static constexpr int COLUMNS = 5;

    T cx, cy, w, h, angle;
    Pair<T> sin, cos;
    T area;    // 0 if a size is not positive or a number is not finite
    T radius;  // of the circumscribed circle

    static ROTX_HD RotatedBox from(const T* raw);
};

template <typename T>
ROTX_HD RotatedBox<T> RotatedBox<T>::from(const T* raw) {
    RotatedBox box{raw[0], raw[1], raw[2], raw[3], raw[4], {0, 0}, {1, 0}, 0, 0};
    const T area = box.w * box.h;
    // If x is not finite, x - x is NaN and thus not equal to 0.
    const bool finite = box.cx - box.cx == 0 && box.cy - box.cy == 0 && box.angle - box.angle == 0;
    if (!(finite && box.w > 0 && box.h > 0 && area > 0 && area - area == 0)) return box;
    // In double even for float: once per box, not once per pair.
    const double sin = std::sin(double(box.angle)), cos = std::cos(double(box.angle));
    box.sin = {T(sin), T(sin - double(T(sin)))};
    box.cos = {T(cos), T(cos - double(T(cos)))};
    box.area = area;
    box.radius = T(0.5) * std::sqrt(box.w * box.w + box.h * box.h);
    return box;
}

// Whether the circumscribed circles meet; false if either box has no area.
template <typename T>
ROTX_HD bool meet(const RotatedBox<T>& a, const RotatedBox<T>& b) {
    const T dx = a.cx - b.cx, dy = a.cy - b.cy, reach = (a.radius + b.radius) * APART<T>;
    return a.area > 0 && b.area > 0 && dx * dx + dy * dy < reach * reach;
}

// Total order of boxes, independent of the order of the arguments.
template <typename T>
ROTX_HD bool before(const RotatedBox<T>& a, const RotatedBox<T>& b) {
    if (a.area != b.area) return a.area < b.area;
    if (a.cx != b.cx) return a.cx < b.cx;
    if (a.cy != b.cy) return a.cy < b.cy;
    if (a.w != b.w) return a.w < b.w;
    if (a.h != b.h) return a.h < b.h;
    return a.angle < b.angle;
}

// Area of `self` within `window`, the smaller of the two.
template <typename T>
ROTX_HD T area_within(const RotatedBox<T>& self, const RotatedBox<T>& window) {
    const Pair<T> dx = difference(self.cx, window.cx), dy = difference(self.cy, window.cy);
    // Distances of the sides of `self` from the window's centre: two along its w (u), two along its h (v).
    const Pair<T> cu = dot(dx, self.cos, dy, self.sin), cv = dot(dy, self.cos, -dx, self.sin);
    const T w = T(0.5) * self.w, h = T(0.5) * self.h;
    const T u[2] = {(cu.hi + w) + cu.lo, (cu.hi - w) + cu.lo}, v[2] = {(cv.hi + h) + cv.lo, (cv.hi - h) + cv.lo};
    // Everything below is in the window's frame: centre at the origin, sides along the axes.
    const Pair<T> c = dot(self.cos, window.cos, self.sin, window.sin);
    const Pair<T> s = dot(self.sin, window.cos, -self.cos, window.sin);
    const T cos = c.hi + c.lo, sin = s.hi + s.lo;
    const T y[4] = {
        u[0] * sin + v[0] * cos, u[1] * sin + v[0] * cos, u[1] * sin + v[1] * cos, u[0] * sin + v[1] * cos};
    const T xmax = T(0.5) * window.w, ymax = T(0.5) * window.h;
    const T per_sin = 1 / sin, per_cos = 1 / cos;  // not finite only for flat edges, which are skipped
    T twice[4];
    for (int i = 0; i < 4; ++i) {
        const int j = (i + 1) % 4;
        // The part of the edge within the window's rows, from (xa, ya) to (xb, yb) on the side's line.
        const T ya = clamp(y[i], ymax), yb = clamp(y[j], ymax);
        const T xa = i % 2 ? (u[i == 1] - ya * sin) * per_cos : (ya * cos - v[i == 2]) * per_sin;
        const T xb = i % 2 ? (u[i == 1] - yb * sin) * per_cos : (yb * cos - v[i == 2]) * per_sin;
        // Twice the mean of clamp(x) along it: ma + mb, minus the excess beyond the window at either end.
        const T ma = clamp(xa, xmax), mb = clamp(xb, xmax);
        const T inside = xa == xb ? T(0) : (mb - ma) / (xb - xa);
        const T mean = (ma + mb) - inside * ((ma - xa) - (xb - mb));
        twice[i] = ya == yb ? T(0) : mean * (yb - ya);
    }
    return T(0.5) * ((twice[0] + twice[2]) + (twice[1] + twice[3]));
}

// A quad prepared for intersections, in either orientation; may be non-convex or self-intersecting.
struct Quad {
    using scalar = double;
    static constexpr int COLUMNS = 8;

    double x[4], y[4];
    double area;     // absolute value of the signed area; 0 if a number is not finite
    bool clockwise;  // on the screen, by the sign of the signed area
    double x0, y0, x1, y1;  // bounds

    static ROTX_HD Quad from(const double* raw);
};

ROTX_HD Quad Quad::from(const double* raw) {
    Quad quad{};
    for (int i = 0; i < 4; ++i) {
        const double x = raw[2 * i], y = raw[2 * i + 1];
        quad.x[i] = x;
        quad.y[i] = y;
        quad.x0 = i == 0 || x < quad.x0 ? x : quad.x0;
        quad.x1 = i == 0 || x > quad.x1 ? x : quad.x1;
        quad.y0 = i == 0 || y < quad.y0 ? y : quad.y0;
        quad.y1 = i == 0 || y > quad.y1 ? y : quad.y1;
    }
    // Cross product of the diagonals: taking differences first avoids cancellation of large coordinates. It contains
    // all eight numbers, so it is finite only if they are.
    const double twice = (quad.x[2] - quad.x[0]) * (quad.y[3] - quad.y[1])
                       - (quad.y[2] - quad.y[0]) * (quad.x[3] - quad.x[1]);
    quad.clockwise = twice > 0;
    quad.area = twice - twice == 0 ? 0.5 * std::fabs(twice) : 0;
    return quad;
}

ROTX_HD bool meet(const Quad& a, const Quad& b) {
    return a.area > 0 && b.area > 0 && a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
}

ROTX_HD bool before(const Quad& a, const Quad& b) {
    if (a.area != b.area) return a.area < b.area;
    for (int i = 0; i < 4; ++i) {
        if (a.x[i] != b.x[i]) return a.x[i] < b.x[i];
        if (a.y[i] != b.y[i]) return a.y[i] < b.y[i];
    }
    return false;
}

// Twice the mean of max(0, x) for x going evenly from `a` to `b`: (b₊² − a₊²) / (b − a).
ROTX_HD double twice_mean_positive(double a, double b) {
    const double pa = a > 0 ? a : 0, pb = b > 0 ? b : 0;
    return a == b ? pa + pb : (pa + pb) * ((pb - pa) / (b - a));
}

// Integral, over the triangle (0, 0), (1, 0), (0, 1), of the winding number of the quad with corners `u`, `v`.
ROTX_HD double within_unit_triangle(const double (&u)[4], const double (&v)[4]) {
    double twice[4];
    for (int i = 0; i < 4; ++i) {
        const int j = (i + 1) % 4;
        const double slope = (u[j] - u[i]) / (v[j] - v[i]);
        // The part of the edge with 0 ≤ v ≤ 1, from (ua, va) to (ub, vb).
        const double va = v[i] < 0 ? 0 : v[i] > 1 ? 1 : v[i], vb = v[j] < 0 ? 0 : v[j] > 1 ? 1 : v[j];
        const double ua = u[i] + (va - v[i]) * slope, ub = u[j] + (vb - v[j]) * slope;
        // clamp(u, 0, 1 − v) = max(0, u) − max(0, u + v − 1); twice the mean of each along the edge.
        const double mean = twice_mean_positive(ua, ub) - twice_mean_positive(ua + va - 1, ub + vb - 1);
        twice[i] = va == vb ? 0 : mean * (vb - va);
    }
    return 0.5 * ((twice[0] + twice[2]) + (twice[1] + twice[3]));
}

// The window is split along a diagonal into two triangles, each with the sign of its orientation: every point is
// weighted by the product of the two winding numbers, whatever the shapes of the quads.
ROTX_HD double area_within(const Quad& self, const Quad& window) {
    const double bx = window.x[2] - window.x[0], by = window.y[2] - window.y[0];
    double total = 0;
    for (int third = 1; third <= 3; third += 2) {
        const double ax = window.x[third] - window.x[0], ay = window.y[third] - window.y[0];
        const double det = ax * by - ay * bx, scale = 1 / det;
        if (!(scale - scale == 0)) continue;  // a triangle without area
        // Corner 0 of the window goes to (0, 0), corner 2 to (0, 1), the third one to (1, 0).
        double u[4], v[4];
        for (int i = 0; i < 4; ++i) {
            const double dx = self.x[i] - window.x[0], dy = self.y[i] - window.y[0];
            u[i] = (dx * by - dy * bx) * scale;
            v[i] = (dy * ax - dx * ay) * scale;
        }
        // det is the scale of the map; its sign, the triangle's orientation, appears twice and cancels.
        const double part = std::fabs(det) * within_unit_triangle(u, v);
        total += third == 1 ? part : -part;
    }
    return self.clockwise == window.clockwise ? total : -total;
}

// Area of the intersection, never negative; equal for (a, b) and (b, a).
template <typename Shape, typename T = typename Shape::scalar>
ROTX_HD T intersection(const Shape& a, const Shape& b) {
    if (!meet(a, b)) return 0;
    // The smaller one is the window: coordinates relative to it keep their precision.
    const T area = before(a, b) ? area_within(b, a) : area_within(a, b);
    const T smaller = a.area < b.area ? a.area : b.area;
    // Anything less is rounding; NaN, from overflow, compares as less.
    return area > NEGLIGIBLE<T> * smaller ? area : T(0);
}

// IoU or IoF in [0, 1], never NaN; 0 if either shape has no area.
template <typename Shape, typename T = typename Shape::scalar>
ROTX_HD T overlap(const Shape& a, const Shape& b, Mode mode) {
    const T area = intersection(a, b);
    if (area == 0) return 0;
    const T whole = mode == Mode::Iou ? a.area + b.area - area : a.area;
    // For self-intersecting quads the union may come out negative.
    return area < whole ? area / whole : T(1);
}

}  // namespace rotx
