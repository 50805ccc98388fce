use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rotx_core::eval::bootstrap::bootstrap;
use rotx_core::eval::curve::Average;
use rotx_core::eval::matching;
use rotx_core::eval::rules::{Measure, Rules};
use rotx_core::eval::truth::{Detections, Truth};
use rotx_core::geom::Quad;
use rotx_core::threads;

type Indices<'py> = PyReadonlyArray1<'py, u32>;

/// Quads (N, 8) with the image and class index of each, borrowed from numpy.
#[derive(FromPyObject)]
pub struct Boxes<'py>(PyReadonlyArray2<'py, f64>, Indices<'py>, Indices<'py>);

impl Boxes<'_> {
    /// Returns the quads, image and class indices, with lengths and ranges checked.
    fn view(&self, name: &str, images: usize, classes: usize) -> PyResult<(&[Quad], &[u32], &[u32])> {
        let (quads, image, label) = (&self.0, self.1.as_slice()?, self.2.as_slice()?);
        let n = image.len();
        let in_range = |indices: &[u32], end: usize| indices.iter().all(|&i| (i as usize) < end);
        if quads.shape() != [n, 8] || label.len() != n || !in_range(image, images) || !in_range(label, classes) {
            let reason = "need quads (N, 8), and an image and a class index in range for each";
            return Err(PyValueError::new_err(format!("{name}: {reason}")));
        }
        Ok((quads.as_slice()?.as_chunks().0, image, label))
    }
}

fn average(name: &str) -> PyResult<Average> {
    match name {
        "voc07" => Ok(Average::Voc07),
        "area" => Ok(Average::Area),
        "coco" => Ok(Average::Coco),
        _ => Err(PyValueError::new_err(format!("average: unknown '{name}'"))),
    }
}

fn measure(name: &str) -> PyResult<Measure> {
    match name {
        "quad" => Ok(Measure::Quad),
        "devkit" => Ok(Measure::Devkit),
        "horizontal" => Ok(Measure::Horizontal),
        "horizontal-pixels" => Ok(Measure::HorizontalPixels),
        _ => Err(PyValueError::new_err(format!("measure: unknown '{name}'"))),
    }
}

/// Result of matching; M detections, C classes, T thresholds.
#[pyclass(frozen)]
pub struct Matches {
    inner: matching::Matches,
    thresholds: usize,
}

#[pymethods]
impl Matches {
    /// (M,) indices of the detections, sorted by class, then by falling score.
    #[getter]
    fn order<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        PyArray1::from_slice(py, &self.inner.order)
    }

    /// (C + 1,) start of each class in `order`.
    #[getter]
    fn starts<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        PyArray1::from_iter(py, self.inner.starts.iter().map(|&i| i as i64))
    }

    /// (M,) one bit per threshold: the detection found an object.
    #[getter]
    fn hit<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        PyArray1::from_slice(py, &self.inner.hit)
    }

    /// (M,) one bit per threshold: the detection is ignored.
    #[getter]
    fn ignored<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        PyArray1::from_slice(py, &self.inner.ignored)
    }

    /// (M,) object matched at the first threshold, or else the one overlapped most; -1: none.
    #[getter]
    fn truth<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i32>> {
        PyArray1::from_slice(py, &self.inner.truth)
    }

    /// (M,) IoU with the object in `truth`.
    #[getter]
    fn iou<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, &self.inner.iou)
    }

    /// (C,) number of objects that are not ignored.
    #[getter]
    fn positives<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        PyArray1::from_slice(py, &self.inner.positives)
    }

    /// Returns (T, C, 2): average precision and last recall; 0 for a class without objects.
    fn average_precision<'py>(
        &self,
        py: Python<'py>,
        average: &str,
        jobs: usize,
    ) -> PyResult<Bound<'py, numpy::PyArray3<f64>>> {
        let (kind, classes) = (self::average(average)?, self.inner.positives.len());
        let pair = |i: usize| match self.inner.curve(i % classes, i / classes) {
            Some(curve) => [curve.average(kind), curve.recall.last().copied().unwrap_or(0.0)],
            None => [0.0; 2],
        };
        let pairs = py.detach(|| threads::map(self.thresholds * classes, jobs, pair));
        PyArray1::from_slice(py, pairs.as_flattened()).reshape([self.thresholds, classes, 2])
    }

    /// Returns recall and precision, (K,) each, of a class at a threshold.
    fn curve<'py>(
        &self,
        py: Python<'py>,
        label: usize,
        threshold: usize,
    ) -> (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>) {
        let curve = self.inner.curve(label, threshold).unwrap_or_default();
        (PyArray1::from_vec(py, curve.recall), PyArray1::from_vec(py, curve.precision))
    }

    /// Returns (S, C): average precision for each of S sets of image weights (S, images).
    #[pyo3(signature = (truth, ignore, detection_image, weights, threshold, average, jobs))]
    #[allow(clippy::too_many_arguments)]
    fn bootstrap<'py>(
        &self,
        py: Python<'py>,
        truth: Boxes<'py>,
        ignore: PyReadonlyArray1<'py, bool>,
        detection_image: Indices<'py>,
        weights: PyReadonlyArray2<'py, u32>,
        threshold: usize,
        average: &str,
        jobs: usize,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let (kind, classes) = (self::average(average)?, self.inner.positives.len());
        let [sets, images] = [weights.shape()[0], weights.shape()[1]];
        let (quads, image, label) = truth.view("truth", images, classes)?;
        let truth = Truth { quads, image, label, ignore: ignore.as_slice()? };
        let (detection_image, weights) = (detection_image.as_slice()?, weights.as_slice()?);
        if detection_image.iter().any(|&i| i as usize >= images) {
            return Err(PyValueError::new_err("weights: need one per image"));
        }
        let aps =
            py.detach(|| bootstrap(&self.inner, truth, detection_image, (weights, images), threshold, kind, jobs));
        PyArray1::from_vec(py, aps).reshape([sets, classes])
    }
}

#[pyfunction]
#[pyo3(signature = (truth, ignore, detections, scores, classes, images, *, thresholds, strict, second_choice,
                    measure, max_detections, area, jobs))]
#[allow(clippy::too_many_arguments)]
pub fn match_detections(
    py: Python<'_>,
    truth: Boxes<'_>,
    ignore: PyReadonlyArray1<'_, bool>,
    detections: Boxes<'_>,
    scores: PyReadonlyArray1<'_, f64>,
    classes: usize,
    images: usize,
    thresholds: Vec<f64>,
    strict: bool,
    second_choice: bool,
    measure: &str,
    max_detections: usize,
    area: Option<(f64, f64)>,
    jobs: usize,
) -> PyResult<Matches> {
    let (quads, image, label) = truth.view("truth", images, classes)?;
    let truth = Truth { quads, image, label, ignore: ignore.as_slice()? };
    let (quads, image, label) = detections.view("detections", images, classes)?;
    let detections = Detections { quads, image, label, scores: scores.as_slice()? };
    if truth.ignore.len() != truth.label.len() || detections.scores.len() != quads.len() {
        return Err(PyValueError::new_err("ignore and scores: need one per box"));
    }
    if thresholds.is_empty() || thresholds.len() > 32 {
        return Err(PyValueError::new_err("thresholds: need 1 to 32"));
    }
    let count = thresholds.len();
    let measure = self::measure(measure)?;
    let rules = Rules { thresholds, strict, second_choice, measure, max_detections, area };
    let inner = py.detach(|| matching::match_detections(truth, detections, classes, images, &rules, jobs));
    Ok(Matches { inner, thresholds: count })
}
