use numpy::{Element, PyReadonlyArray2, PyReadonlyArray4, PyReadwriteArray4, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rotx_core::roi_align::{self, Pooling, Real, Roi};

/// C-contiguous images (N, C, H, W), or features of regions (K, C, rows, columns).
#[derive(FromPyObject)]
pub enum Planes<'py> {
    F32(PyReadonlyArray4<'py, f32>),
    F64(PyReadonlyArray4<'py, f64>),
}

/// Writable [`Planes`].
#[derive(FromPyObject)]
pub enum PlanesMut<'py> {
    F32(PyReadwriteArray4<'py, f32>),
    F64(PyReadwriteArray4<'py, f64>),
}

type Rois<'py> = PyReadonlyArray2<'py, f64>;

/// Checks the shapes of `rois` and of their `features` on images of shape `images`; returns the rows of `rois` and that
/// shape.
fn checked<'a>(
    rois: &'a Rois<'_>,
    images: &[usize],
    features: &[usize],
    pooling: &Pooling,
) -> PyResult<(&'a [Roi], [usize; 4])> {
    let flat = rois.as_slice().ok().filter(|_| rois.shape()[1] == 6);
    let shape_error = || format!("rois: need a C-contiguous (K, 6) array, got {:?}", rois.shape());
    let rows = flat.map(|flat| flat.as_chunks().0).ok_or_else(|| PyValueError::new_err(shape_error()))?;
    let shape = [images[0], images[1], images[2], images[3]];
    let [height, width] = pooling.output_size;
    let need = [rows.len(), shape[1], height, width];
    if features != need {
        return Err(PyValueError::new_err(format!("features: need shape {need:?}, got {features:?}")));
    }
    Ok((rows, shape))
}

fn forward<T: Real + Element>(
    py: Python<'_>,
    input: &PyReadonlyArray4<'_, T>,
    rois: &Rois<'_>,
    pooling: &Pooling,
    jobs: usize,
    out: &mut PyReadwriteArray4<'_, T>,
) -> PyResult<()> {
    let (rois, shape) = checked(rois, input.shape(), out.shape(), pooling)?;
    let (input, out) = (input.as_slice()?, out.as_slice_mut()?);
    py.detach(|| roi_align::roi_align_rotated(input, shape, rois, pooling, jobs, out)).map_err(PyValueError::new_err)
}

fn backward<T: Real + Element>(
    py: Python<'_>,
    grad: &PyReadonlyArray4<'_, T>,
    rois: &Rois<'_>,
    pooling: &Pooling,
    jobs: usize,
    grad_input: &mut PyReadwriteArray4<'_, T>,
) -> PyResult<()> {
    let (rois, shape) = checked(rois, grad_input.shape(), grad.shape(), pooling)?;
    let (grad, out) = (grad.as_slice()?, grad_input.as_slice_mut()?);
    py.detach(|| roi_align::roi_align_rotated_backward(grad, rois, shape, pooling, jobs, out))
        .map_err(PyValueError::new_err)
}

fn dtypes_differ() -> PyErr {
    PyValueError::new_err("need images and features of one dtype, float32 or float64")
}

#[pyfunction]
#[expect(clippy::too_many_arguments)]
pub fn roi_align_rotated<'py>(
    py: Python<'py>,
    input: Planes<'py>,
    rois: Rois<'py>,
    output_size: [usize; 2],
    spatial_scale: f64,
    sampling_ratio: usize,
    aligned: bool,
    clockwise: bool,
    jobs: usize,
    out: PlanesMut<'py>,
) -> PyResult<()> {
    let pooling = Pooling { output_size, spatial_scale, sampling_ratio, aligned, clockwise };
    match (input, out) {
        (Planes::F32(input), PlanesMut::F32(mut out)) => forward(py, &input, &rois, &pooling, jobs, &mut out),
        (Planes::F64(input), PlanesMut::F64(mut out)) => forward(py, &input, &rois, &pooling, jobs, &mut out),
        _ => Err(dtypes_differ()),
    }
}

#[pyfunction]
#[expect(clippy::too_many_arguments)]
pub fn roi_align_rotated_backward<'py>(
    py: Python<'py>,
    grad: Planes<'py>,
    rois: Rois<'py>,
    output_size: [usize; 2],
    spatial_scale: f64,
    sampling_ratio: usize,
    aligned: bool,
    clockwise: bool,
    jobs: usize,
    grad_input: PlanesMut<'py>,
) -> PyResult<()> {
    let pooling = Pooling { output_size, spatial_scale, sampling_ratio, aligned, clockwise };
    match (grad, grad_input) {
        (Planes::F32(grad), PlanesMut::F32(mut out)) => backward(py, &grad, &rois, &pooling, jobs, &mut out),
        (Planes::F64(grad), PlanesMut::F64(mut out)) => backward(py, &grad, &rois, &pooling, jobs, &mut out),
        _ => Err(dtypes_differ()),
    }
}
