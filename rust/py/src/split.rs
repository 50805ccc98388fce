use numpy::{PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use rotx_core::image_io::{self, Format, ImageError};
use rotx_core::split::{self, Event, Image, Origin, Patch, Settings, WriteError};
use rotx_core::tile::Window;
use std::iter;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Default quality of OpenCV's `imwrite`.
const JPEG_QUALITY: u8 = 95;

/// Window, image file, and label file with its text.
type PatchRow = ((i64, i64, i64, i64), PathBuf, Option<(PathBuf, String)>);
type ImageRow = (Source, (usize, usize), Vec<PatchRow>);

/// A file that the core reads, or a function without arguments that returns all pixels, (H, W, 3) uint8, BGR.
#[derive(FromPyObject)]
enum Source {
    File(PathBuf),
    Whole(Py<PyAny>),
}

/// Splits the images of an iterator; calls `report(event, image number, reason)`.
#[pyfunction]
pub fn split_images(
    py: Python<'_>,
    images: Py<PyAny>,
    jpeg: bool,
    padding: Option<[u8; 3]>,
    jobs: usize,
    report: Py<PyAny>,
) -> PyResult<()> {
    let settings = Settings { format: if jpeg { Format::Jpeg(JPEG_QUALITY) } else { Format::Png }, padding, jobs };
    // An exception of the iterator or of `report` ends the run; it is raised here once the workers have ended too.
    let raised = OnceLock::new();
    let keep = |error| drop(raised.set(error));
    let next = || Python::attach(|py| next_image(images.bind(py))).map_err(keep).ok().flatten();
    let on_event = |event| match Python::attach(|py| tell(report.bind(py), event)).map_err(keep) {
        Ok(()) if raised.get().is_none() => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    py.detach(|| split::split(iter::from_fn(next), settings, on_event)).map_err(write_error)?;
    raised.into_inner().map_or(Ok(()), Err)
}

fn next_image(images: &Bound<'_, PyAny>) -> PyResult<Option<Image>> {
    let Some(row) = images.try_iter()?.next() else { return Ok(None) };
    let (source, size, rows): ImageRow = row?.extract()?;
    let origin = match source {
        Source::File(path) => Origin::File(path),
        Source::Whole(decode) => Origin::Whole(Arc::new(move || Python::attach(|py| pixels(decode.bind(py), size)))),
    };
    let patch = |((x0, y0, x1, y1), file, label): PatchRow| Patch { window: Window { x0, y0, x1, y1 }, file, label };
    Ok(Some(Image { origin, size, patches: rows.into_iter().map(patch).collect() }))
}

/// Returns the pixels of `decode` as RGB.
fn pixels(decode: &Bound<'_, PyAny>, (width, height): (usize, usize)) -> Result<Vec<u8>, ImageError> {
    let py = decode.py();
    let reason = |error: PyErr| ImageError(error.value(py).to_string());
    let array: PyReadonlyArray3<u8> = decode.call0().map_err(reason)?.extract().map_err(reason)?;
    if array.shape() != [height, width, 3] {
        let (rows, columns) = (array.shape()[0], array.shape()[1]);
        return Err(ImageError(format!("has changed: it is {columns} x {rows} pixels now")));
    }
    let bgr = array.as_slice().map_err(|error| ImageError(error.to_string()))?;
    let mut rgb = Vec::new();
    image_io::reserve(&mut rgb, bgr.len())?;
    py.detach(|| rgb.extend(bgr.as_chunks().0.iter().flat_map(|&[b, g, r]| [r, g, b])));
    Ok(rgb)
}

fn tell(report: &Bound<'_, PyAny>, event: Event) -> PyResult<()> {
    match event {
        Event::Patch(image) => report.call1(("patch", image, ""))?,
        Event::Done(image) => report.call1(("done", image, ""))?,
        Event::Failed(image, reason) => report.call1(("failed", image, reason))?,
        Event::Waiting => return report.py().check_signals(), // calls of `report` check them anyway
    };
    Ok(())
}

fn write_error(WriteError { path, error }: WriteError) -> PyErr {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or_default().to_owned();
    PyOSError::new_err((error.raw_os_error(), reason, path))
}
