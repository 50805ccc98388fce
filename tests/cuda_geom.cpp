// cuda/geom.cuh as plain C functions, for tests/test_cuda_geom.py.
#include <cstddef>

#include "../cuda/geom.cuh"

namespace {

template <typename T>
void aligned(const T* a, const T* b, std::size_t n, bool iof, T* out) {
    const rotx::Mode mode = iof ? rotx::Mode::Iof : rotx::Mode::Iou;
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = rotx::overlap(rotx::prepare(a + 5 * i), rotx::prepare(b + 5 * i), mode);
    }
}

}  // namespace

extern "C" {

void overlap_float32(const float* a, const float* b, std::size_t n, bool iof, float* out) {
    aligned(a, b, n, iof, out);
}

void overlap_float64(const double* a, const double* b, std::size_t n, bool iof, double* out) {
    aligned(a, b, n, iof, out);
}

void overlap_quads(const double* a, const double* b, std::size_t n, bool iof, double* out) {
    const rotx::Mode mode = iof ? rotx::Mode::Iof : rotx::Mode::Iou;
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = rotx::overlap(rotx::prepare_quad(a + 8 * i), rotx::prepare_quad(b + 8 * i), mode);
    }
}

}  // extern "C"
