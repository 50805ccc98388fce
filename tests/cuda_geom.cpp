// cuda/geom.cuh as plain C functions, for tests/test_cuda_geom.py.
#include <cstddef>

#include "../cuda/geom.cuh"

namespace {

template <typename Shape, typename T = typename Shape::scalar>
void aligned(const T* a, const T* b, std::size_t n, bool iof, T* out) {
    const rotx::Mode mode = iof ? rotx::Mode::Iof : rotx::Mode::Iou;
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = rotx::overlap(Shape::from(a + Shape::COLUMNS * i), Shape::from(b + Shape::COLUMNS * i), mode);
    }
}

}  // namespace

extern "C" {

void overlap_float32(const float* a, const float* b, std::size_t n, bool iof, float* out) {
    aligned<rotx::RotatedBox<float>>(a, b, n, iof, out);
}

void overlap_float64(const double* a, const double* b, std::size_t n, bool iof, double* out) {
    aligned<rotx::RotatedBox<double>>(a, b, n, iof, out);
}

void overlap_quads(const double* a, const double* b, std::size_t n, bool iof, double* out) {
    aligned<rotx::Quad>(a, b, n, iof, out);
}

}  // extern "C"
