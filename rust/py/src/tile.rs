use numpy::{PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rotx_core::image_io::{self, Area, Decoder, ImageError};
use rotx_core::tile::{self, Tiling, Window};
use std::path::PathBuf;
use std::sync::Mutex;

use crate::geometry::rows;

/// Largest number of windows per image: each takes about 600 bytes until the image is split, and a header may claim any
/// size.
const MOST_WINDOWS: u64 = 1_000_000;

/// Returns the windows (W, 4) of an image, `x0, y0, x1, y1`; raises ValueError for more than `MOST_WINDOWS`.
#[pyfunction]
pub fn tile_windows<'py>(
    py: Python<'py>,
    width: i64,
    height: i64,
    tilings: Vec<(i64, i64)>,
    img_rate_thr: f64,
) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let tilings: Vec<Tiling> = tilings.into_iter().map(|(size, gap)| Tiling { size, gap }).collect();
    if tilings.iter().any(|t| t.gap < 0 || t.size <= t.gap) {
        return Err(PyValueError::new_err("need sizes greater than their gaps, and gaps of at least 0"));
    }
    let count = tile::count(width, height, &tilings);
    if count > MOST_WINDOWS {
        return Err(PyValueError::new_err(format!(
            "{width} x {height} pixels make {count} windows, more than the {MOST_WINDOWS} that an image may have"
        )));
    }
    let found = py.detach(|| tile::windows(width, height, &tilings, img_rate_thr));
    let flat: Vec<i64> = found.iter().flat_map(|w| [w.x0, w.y0, w.x1, w.y1]).collect();
    PyArray1::from_vec(py, flat).reshape([found.len(), 4])
}

type Columns<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<bool>>);

/// Assigns objects to windows: for each assignment, the window, the object, and whether the object is truncated.
#[pyfunction]
pub fn tile_cut<'py>(
    py: Python<'py>,
    quads: PyReadonlyArray2<'py, f64>,
    windows: PyReadonlyArray2<'py, i64>,
    iof_thr: f64,
) -> PyResult<Columns<'py>> {
    let quads = rows("quads", &quads)?;
    let windows = self::windows(&windows)?;
    let found = py.detach(|| tile::cut(quads, &windows, iof_thr));
    Ok((
        PyArray1::from_iter(py, found.iter().map(|c| c.window)),
        PyArray1::from_iter(py, found.iter().map(|c| c.object)),
        PyArray1::from_iter(py, found.iter().map(|c| c.truncated)),
    ))
}

pub fn windows(array: &PyReadonlyArray2<'_, i64>) -> PyResult<Vec<Window>> {
    let array = array.as_array();
    if array.ncols() != 4 {
        return Err(PyValueError::new_err("windows: need an (N, 4) array"));
    }
    Ok(array.rows().into_iter().map(|r| Window { x0: r[0], y0: r[1], x1: r[2], y1: r[3] }).collect())
}

/// An image that is read in pieces.
#[pyclass(frozen)]
pub struct ImageReader {
    decoder: Mutex<Box<dyn Decoder>>,
    #[pyo3(get)]
    width: usize,
    #[pyo3(get)]
    height: usize,
    /// Width and height of the pieces that are cheapest to read.
    #[pyo3(get)]
    block: (usize, usize),
}

#[pymethods]
impl ImageReader {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<ImageReader> {
        let decoder = py.detach(|| image_io::open(&path)).map_err(error)?;
        let ((width, height), block) = (decoder.size(), decoder.block());
        Ok(ImageReader { decoder: Mutex::new(decoder), width, height, block })
    }

    /// Reads an area as (height, width, 3) uint8, BGR.
    fn read<'py>(
        &self,
        py: Python<'py>,
        x: usize,
        y: usize,
        width: usize,
        height: usize,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let fits =
            |start: usize, length: usize, whole: usize| start.checked_add(length).is_some_and(|end| end <= whole);
        if !fits(x, width, self.width) || !fits(y, height, self.height) {
            return Err(PyValueError::new_err("the area is not within the image"));
        }
        let mut pixels = image_io::zeros(width.saturating_mul(height).saturating_mul(3)).map_err(error)?;
        py.detach(|| {
            let mut decoder = self.decoder.lock().map_err(|_| ImageError("its decoder failed earlier".into()))?;
            decoder.read(Area { x, y, width, height }, &mut pixels)?;
            pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|p| p.swap(0, 2));
            Ok(())
        })
        .map_err(error)?;
        PyArray1::from_vec(py, pixels).reshape([height, width, 3])
    }
}

pub fn error(error: ImageError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
