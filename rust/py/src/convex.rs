use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rotx_core::convex::{self, Hull};
use rotx_core::geom;
use rotx_core::iou;

use crate::geometry::{mode, point_rows};

type Floats<'py> = PyReadonlyArray2<'py, f64>;
type Rows<'a> = Vec<&'a [f64]>;

/// Returns the rows of both arrays, checked to be equal in number.
fn aligned<'a>(points: &'a Floats<'_>, others: &'a Floats<'_>) -> PyResult<(Rows<'a>, Rows<'a>)> {
    let (rows, other_rows) = (point_rows("points", points)?, point_rows("others", others)?);
    if rows.len() != other_rows.len() {
        let message =
            format!("points and others: need equal numbers of rows, got {} and {}", rows.len(), other_rows.len());
        return Err(PyValueError::new_err(message));
    }
    Ok((rows, other_rows))
}

#[pyfunction]
pub fn hull_indices<'py>(py: Python<'py>, points: Floats<'py>) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let (rows, count) = (point_rows("points", &points)?, points.shape()[1] / 2);
    let indices: Vec<i64> = py.detach(|| {
        let hull = |row: &&[f64]| {
            let corners = geom::hull_indices(&geom::points(row));
            let last = corners.last().copied().unwrap_or(0);
            corners.into_iter().chain(std::iter::repeat(last)).take(count).map(|i| i as i64).collect::<Vec<_>>()
        };
        rows.iter().flat_map(hull).collect()
    });
    PyArray1::from_vec(py, indices).reshape([rows.len(), count])
}

#[pyfunction]
pub fn convex_iou<'py>(
    py: Python<'py>,
    points: Floats<'py>,
    others: Floats<'py>,
    mode: &str,
    jobs: usize,
    mut out: PyReadwriteArray2<'py, f64>,
) -> PyResult<()> {
    let (kind, rows, others) = (self::mode(mode)?, point_rows("points", &points)?, point_rows("others", &others)?);
    if out.shape() != [rows.len(), others.len()] {
        return Err(PyValueError::new_err("out: need one row per row of points and one column per row of others"));
    }
    let into = out.as_slice_mut()?;
    py.detach(|| iou::pairwise::<Hull>(&rows, &others, kind, jobs, into));
    Ok(())
}

#[pyfunction]
pub fn convex_giou<'py>(
    py: Python<'py>,
    points: Floats<'py>,
    others: Floats<'py>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (rows, others) = aligned(&points, &others)?;
    let values = py.detach(|| rows.iter().zip(&others).map(|(a, b)| convex::giou(a, b)).collect());
    Ok(PyArray1::from_vec(py, values))
}

#[pyfunction]
pub fn convex_giou_backward<'py>(
    py: Python<'py>,
    grad: PyReadonlyArray1<'py, f64>,
    points: Floats<'py>,
    others: Floats<'py>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let ((rows, others), grad) = (aligned(&points, &others)?, grad.as_slice()?);
    if grad.len() != rows.len() {
        return Err(PyValueError::new_err(format!(
            "grad: need one number per row, got {} for {}",
            grad.len(),
            rows.len()
        )));
    }
    let width = points.shape()[1];
    let gradient = py.detach(|| {
        let mut gradient = vec![0.0; rows.len() * width];
        for (((a, b), &factor), into) in rows.iter().zip(&others).zip(grad).zip(gradient.chunks_exact_mut(width)) {
            convex::giou_gradient(a, b, into);
            into.iter_mut().for_each(|v| *v *= factor);
        }
        gradient
    });
    PyArray1::from_vec(py, gradient).reshape([rows.len(), width])
}
