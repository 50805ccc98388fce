use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rotx_core::geom::{self, Point};
use rotx_core::iou::{self, Mode, QuadShape, RotatedBox, Shape};
use rotx_core::nms as core_nms;

type Floats<'py> = PyReadonlyArray2<'py, f64>;

/// The rows of a C-contiguous array (N, 5) or (N, 8).
enum Boxes<'a> {
    R(&'a [geom::RBox]),
    Q(&'a [geom::Quad]),
}

pub fn rows<'a, const N: usize>(name: &str, array: &'a Floats<'_>) -> PyResult<&'a [[f64; N]]> {
    let shape = array.shape();
    let flat = array.as_slice().ok().filter(|_| shape[1] == N);
    flat.map(|flat| flat.as_chunks().0)
        .ok_or_else(|| PyValueError::new_err(format!("{name}: need a C-contiguous (N, {N}) array, got {shape:?}")))
}

fn boxes<'a>(name: &str, array: &'a Floats<'_>) -> PyResult<Boxes<'a>> {
    if array.shape()[1] == 8 { rows(name, array).map(Boxes::Q) } else { rows(name, array).map(Boxes::R) }
}

fn points(name: &str, array: &Floats<'_>) -> PyResult<Vec<Point>> {
    Ok(rows(name, array)?.iter().map(|&[x, y]| Point { x, y }).collect())
}

/// Returns the rows of a C-contiguous array (N, 2k): points `x1, y1, ..., xk, yk`.
pub fn point_rows<'a>(name: &str, array: &'a Floats<'_>) -> PyResult<Vec<&'a [f64]>> {
    let shape = array.shape();
    let flat = array.as_slice().ok().filter(|_| shape[1] > 0 && shape[1] % 2 == 0);
    flat.map(|flat| flat.chunks_exact(shape[1]).collect())
        .ok_or_else(|| PyValueError::new_err(format!("{name}: need a C-contiguous (N, 2k) array, got {shape:?}")))
}

pub fn mode(name: &str) -> PyResult<Mode> {
    match name {
        "iou" => Ok(Mode::Iou),
        "iof" => Ok(Mode::Iof),
        _ => Err(PyValueError::new_err(format!("mode: need 'iou' or 'iof', got '{name}'"))),
    }
}

fn kinds_differ() -> PyErr {
    PyValueError::new_err("a and b: need both rboxes (N, 5) or both quads (N, 8)")
}

fn to_array<'py, const N: usize>(py: Python<'py>, rows: &[[f64; N]]) -> PyResult<Bound<'py, PyArray2<f64>>> {
    PyArray1::from_slice(py, rows.as_flattened()).reshape([rows.len(), N])
}

#[pyfunction]
pub fn box_iou<'py>(
    py: Python<'py>,
    a: Floats<'py>,
    b: Floats<'py>,
    mode: &str,
    jobs: usize,
    mut out: PyReadwriteArray2<'py, f64>,
) -> PyResult<()> {
    let kind = self::mode(mode)?;
    if out.shape() != [a.shape()[0], b.shape()[0]] {
        return Err(PyValueError::new_err("out: need one row per box of a and one column per box of b"));
    }
    let into = out.as_slice_mut()?;
    match (boxes("a", &a)?, boxes("b", &b)?) {
        (Boxes::R(a), Boxes::R(b)) => py.detach(|| iou::pairwise::<RotatedBox>(a, b, kind, jobs, into)),
        (Boxes::Q(a), Boxes::Q(b)) => py.detach(|| iou::pairwise::<QuadShape>(a, b, kind, jobs, into)),
        _ => return Err(kinds_differ()),
    }
    Ok(())
}

#[pyfunction]
pub fn box_iou_aligned<'py>(
    py: Python<'py>,
    a: Floats<'py>,
    b: Floats<'py>,
    mode: &str,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (kind, n) = (self::mode(mode)?, a.shape()[0]);
    if n != b.shape()[0] {
        return Err(PyValueError::new_err(format!(
            "a and b: need equal numbers of boxes, got {n} and {}",
            b.shape()[0]
        )));
    }
    let out = PyArray1::zeros(py, n, false);
    let mut writer = out.try_readwrite()?;
    let into = writer.as_slice_mut()?;
    match (boxes("a", &a)?, boxes("b", &b)?) {
        (Boxes::R(a), Boxes::R(b)) => py.detach(|| iou::aligned::<RotatedBox>(a, b, kind, into)),
        (Boxes::Q(a), Boxes::Q(b)) => py.detach(|| iou::aligned::<QuadShape>(a, b, kind, into)),
        _ => return Err(kinds_differ()),
    }
    drop(writer);
    Ok(out)
}

#[pyfunction]
pub fn nms<'py>(
    py: Python<'py>,
    boxes: Floats<'py>,
    scores: PyReadonlyArray1<'py, f64>,
    iou_threshold: f64,
    labels: Option<PyReadonlyArray1<'py, i64>>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (n, scores) = (boxes.shape()[0], scores.as_slice()?);
    let labels = labels.as_ref().map(|l| l.as_slice()).transpose()?;
    if scores.len() != n || labels.is_some_and(|l| l.len() != n) {
        return Err(PyValueError::new_err(format!("scores and labels: need one per box, for {n} boxes")));
    }
    let keep = match self::boxes("boxes", &boxes)? {
        Boxes::R(boxes) => py.detach(|| core_nms::nms::<RotatedBox>(boxes, scores, labels, iou_threshold)),
        Boxes::Q(boxes) => py.detach(|| core_nms::nms::<QuadShape>(boxes, scores, labels, iou_threshold)),
    };
    Ok(PyArray1::from_iter(py, keep.into_iter().map(i64::from)))
}

#[pyfunction]
pub fn rbox_to_quad<'py>(py: Python<'py>, rboxes: Floats<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let rboxes = rows("rboxes", &rboxes)?;
    to_array(py, &py.detach(|| rboxes.iter().map(geom::rbox_to_quad).collect::<Vec<_>>()))
}

#[pyfunction]
pub fn min_area_rects<'py>(py: Python<'py>, points: Floats<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let rows = point_rows("points", &points)?;
    let rect = |row: &&[f64]| geom::min_area_rect(&geom::points(row));
    to_array(py, &py.detach(|| rows.iter().map(rect).collect::<Vec<_>>()))
}

#[pyfunction]
pub fn areas<'py>(py: Python<'py>, boxes: Floats<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let areas: Vec<f64> = match self::boxes("boxes", &boxes)? {
        Boxes::R(boxes) => py.detach(|| boxes.iter().map(|b| RotatedBox::new(b).area()).collect()),
        Boxes::Q(boxes) => py.detach(|| boxes.iter().map(|b| QuadShape::new(b).area()).collect()),
    };
    Ok(PyArray1::from_vec(py, areas))
}

#[pyfunction]
pub fn points_in_quads<'py>(
    py: Python<'py>,
    points: Floats<'py>,
    quads: Floats<'py>,
) -> PyResult<Bound<'py, PyArray2<bool>>> {
    let (points, quads) = (self::points("points", &points)?, rows("quads", &quads)?);
    let out: Vec<bool> = py.detach(|| {
        // Quads with a number that is not finite contain no point, which NaNs in all corners ensure.
        let sound = |quad: &geom::Quad| if quad.iter().all(|v| v.is_finite()) { *quad } else { [f64::NAN; 8] };
        let quads: Vec<geom::Quad> = quads.iter().map(sound).collect();
        let inside = |p| quads.iter().map(move |q| geom::point_in_quad(p, q));
        points.iter().flat_map(|&p| inside(p)).collect()
    });
    PyArray1::from_vec(py, out).reshape([points.len(), quads.len()])
}

#[pyfunction]
pub fn convex_hull<'py>(py: Python<'py>, points: Floats<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let points = self::points("points", &points)?;
    let hull = py.detach(|| geom::convex_hull(&points));
    to_array(py, &hull.iter().map(|p| [p.x, p.y]).collect::<Vec<_>>())
}

#[pyfunction]
pub fn min_area_rect<'py>(py: Python<'py>, points: Floats<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let points = self::points("points", &points)?;
    Ok(PyArray1::from_slice(py, &py.detach(|| geom::min_area_rect(&points))))
}

#[pyfunction]
pub fn clip_convex<'py>(
    py: Python<'py>,
    subject: Floats<'py>,
    clip: Floats<'py>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (subject, clip) = (points("subject", &subject)?, points("clip", &clip)?);
    let part = py.detach(|| geom::clip_convex(&subject, &clip));
    to_array(py, &part.iter().map(|p| [p.x, p.y]).collect::<Vec<_>>())
}
