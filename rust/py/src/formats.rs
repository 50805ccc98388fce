use crate::geometry::rows;
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rotx_core::formats::write::Format;
use rotx_core::formats::{self, Annotations, Data, Detections, Options, Problem, Skipped, Source};
use rotx_core::geom::Quad;
use std::path::PathBuf;

#[derive(FromPyObject)]
pub enum File<'py> {
    Bytes(Bound<'py, PyBytes>),
    Path(PathBuf),
}

/// Name of each file in messages, its image or class, and its bytes or path.
type Files<'py> = Vec<(String, String, File<'py>)>;

fn data<'a>(file: &'a File<'_>) -> Data<'a> {
    match file {
        File::Bytes(bytes) => Data::Bytes(bytes.as_bytes()),
        File::Path(path) => Data::Path(path.clone()),
    }
}

fn sources<'a>(files: &'a Files<'_>) -> Vec<Source<'a>> {
    let source = |(name, subject, file): &'a (String, String, File<'_>)| Source {
        name: name.clone(),
        subject: subject.clone(),
        data: data(file),
    };
    files.iter().map(source).collect()
}

fn error(problem: Problem) -> PyErr {
    PyValueError::new_err(problem.to_string())
}

fn unknown_format(format: &str) -> PyErr {
    PyValueError::new_err(format!("unknown format '{format}'"))
}

#[pyfunction]
pub fn read_annotations<'py>(
    py: Python<'py>,
    format: &str,
    files: Files<'py>,
    images: Option<Vec<String>>,
    classes: Option<Vec<String>>,
    lenient: Option<usize>,
    jobs: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let read = match format {
        "dota" => formats::dota::read,
        "icdar" => formats::icdar::read_annotations,
        "voc" => formats::voc::read,
        "td500" => formats::td500::read,
        "ucas" => formats::ucas::read,
        "flat" => formats::lines::read_flat,
        "gghl" => formats::lines::read_gghl,
        _ => return Err(unknown_format(format)),
    };
    let (kept, lenient) = (lenient.unwrap_or(1), lenient.is_some());
    let options = Options { images: images.as_deref(), classes: classes.as_deref(), lenient, kept, jobs };
    let sources = sources(&files);
    let found: Annotations = py.detach(|| read(&sources, &options)).map_err(error)?;
    let out = table(py, found.images, found.classes, found.quads, [found.image, found.label], found.skipped)?;
    out.set_item("rboxes", PyArray1::from_vec(py, found.rboxes.into_flattened()))?;
    out.set_item("upright", found.upright)?;
    out.set_item("difficult", PyArray1::from_vec(py, found.difficult))?;
    out.set_item("line", PyArray1::from_vec(py, found.line))?;
    Ok(out)
}

#[pyfunction]
pub fn read_detections<'py>(
    py: Python<'py>,
    format: &str,
    files: Files<'py>,
    images: Option<Vec<String>>,
    classes: Option<Vec<String>>,
    lenient: Option<usize>,
    jobs: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let read = match format {
        "task1" => formats::task1::read_task1,
        "task2" => formats::task1::read_task2,
        "icdar" => formats::icdar::read_results,
        "yolo" => formats::yolo::read,
        _ => return Err(unknown_format(format)),
    };
    let (kept, lenient) = (lenient.unwrap_or(1), lenient.is_some());
    let options = Options { images: images.as_deref(), classes: classes.as_deref(), lenient, kept, jobs };
    let sources = sources(&files);
    let found: Detections = py.detach(|| read(&sources, &options)).map_err(error)?;
    let out = table(py, found.images, found.classes, found.quads, [found.image, found.label], found.skipped)?;
    out.set_item("scores", PyArray1::from_vec(py, found.scores))?;
    out.set_item("line", PyArray1::from_vec(py, found.line))?;
    Ok(out)
}

/// Returns the text of a Task 1 file: the detections of class `of`.
#[pyfunction]
pub fn write_task1<'py>(
    py: Python<'py>,
    names: Vec<String>,
    quads: PyReadonlyArray2<'py, f64>,
    scores: PyReadonlyArray1<'py, f64>,
    image: PyReadonlyArray1<'py, i32>,
    label: PyReadonlyArray1<'py, i32>,
    of: i32,
) -> PyResult<Bound<'py, PyBytes>> {
    let quads = rows("quads", &quads)?;
    let (scores, image, label) = (scores.as_slice()?, image.as_slice()?, label.as_slice()?);
    if [scores.len(), image.len(), label.len()] != [quads.len(); 3] {
        return Err(PyValueError::new_err(format!(
            "need one score, image and label for each of {} quads",
            quads.len()
        )));
    }
    if image.iter().any(|&i| !(0..names.len() as i64).contains(&i64::from(i))) {
        return Err(PyValueError::new_err(format!("image: need indices into {} names", names.len())));
    }
    let text = py.detach(|| formats::task1::write(&names, quads, scores, image, label, of));
    Ok(PyBytes::new(py, &text))
}

/// Returns the columns common to annotations and detections.
fn table<'py>(
    py: Python<'py>,
    images: Vec<String>,
    classes: Vec<String>,
    quads: Vec<Quad>,
    [image, label]: [Vec<u32>; 2],
    skipped: Skipped,
) -> PyResult<Bound<'py, PyDict>> {
    let first: Vec<_> = skipped.first.iter().map(|p| (&p.file, p.line, p.kind, p.what())).collect();
    let out = PyDict::new(py);
    out.set_item("images", images)?;
    out.set_item("classes", classes)?;
    out.set_item("quads", PyArray1::from_vec(py, quads.into_flattened()))?;
    out.set_item("image", PyArray1::from_vec(py, image))?;
    out.set_item("label", PyArray1::from_vec(py, label))?;
    out.set_item("problems", first)?;
    out.set_item("skipped", skipped.counts)?;
    out.set_item("lost", skipped.lost)?;
    Ok(out)
}

/// Reads a list of images: names, the line of each, and the number of dropped duplicates.
#[pyfunction]
pub fn read_names(name: &str, file: File<'_>) -> PyResult<(Vec<String>, Vec<u64>, u64)> {
    let list = formats::read_names(name, &data(&file)).map_err(error)?;
    Ok((list.names, list.lines, list.duplicates))
}

/// Reads image names and sizes from VOC-style XML: file names, and sizes (N, 2), width and height in pixels.
#[pyfunction]
pub fn read_image_info<'py>(
    py: Python<'py>,
    files: Files<'py>,
    jobs: usize,
) -> PyResult<(Vec<String>, Bound<'py, PyArray2<u32>>)> {
    let sources = sources(&files);
    let found = py.detach(|| formats::image_info::read(&sources, jobs));
    let sizes: Vec<u32> = found.iter().flat_map(|info| info.size).collect();
    let names: Vec<String> = found.into_iter().map(|info| info.file).collect();
    let rows = names.len();
    Ok((names, PyArray1::from_vec(py, sizes).reshape([rows, 2])?))
}

/// Consecutive images and their objects; the fields are those of `rotx_core::formats::write::Batch`.
#[derive(FromPyObject)]
pub struct Batch<'py> {
    names: Vec<String>,
    files: Vec<String>,
    sizes: PyReadonlyArray2<'py, u32>,
    bounds: Vec<usize>,
    classes: Vec<String>,
    quads: PyReadonlyArray2<'py, f64>,
    label: PyReadonlyArray1<'py, i32>,
    difficult: PyReadonlyArray1<'py, u8>,
    crowd: PyReadonlyArray1<'py, u8>,
}

impl Batch<'_> {
    fn borrow(&self) -> PyResult<formats::write::Batch<'_>> {
        let batch = formats::write::Batch {
            names: &self.names,
            files: &self.files,
            sizes: self.sizes.as_slice()?.as_chunks().0,
            bounds: &self.bounds,
            classes: &self.classes,
            quads: rows("quads", &self.quads)?,
            label: self.label.as_slice()?,
            difficult: self.difficult.as_slice()?,
            crowd: self.crowd.as_slice()?,
        };
        if batch.is_sound() { Ok(batch) } else { Err(PyValueError::new_err("inconsistent lengths or indices")) }
    }
}

/// Writes the files of a batch into a folder.
#[pyfunction]
pub fn write_annotations(py: Python<'_>, format: &str, batch: Batch<'_>, folder: PathBuf, jobs: usize) -> PyResult<()> {
    let format = match format {
        "dota" => Format::Dota,
        "yolo" => Format::Yolo,
        "voc" => Format::Voc,
        "rolabelimg" => Format::RoLabelImg,
        "hrsc" => Format::Hrsc,
        "labelme" => Format::LabelMe,
        _ => return Err(unknown_format(format)),
    };
    let batch = batch.borrow()?;
    py.detach(|| formats::write::write_files(&batch, format, &folder, jobs)).map_err(|(path, error)| {
        let reason = error.to_string(); // such as "No space left on device (os error 28)"
        let reason = reason.split(" (os error").next().unwrap_or_default().to_owned();
        PyOSError::new_err((error.raw_os_error().unwrap_or_default(), reason, path.display().to_string()))
    })
}

/// Returns the entries of COCO's `annotations` for a batch, as JSON.
#[pyfunction]
pub fn coco_annotations<'py>(
    py: Python<'py>,
    batch: Batch<'py>,
    first_image: usize,
    first_object: usize,
    jobs: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let batch = batch.borrow()?;
    let text = py.detach(|| formats::write::coco::annotations(&batch, first_image, first_object, jobs));
    Ok(PyBytes::new(py, &text))
}
