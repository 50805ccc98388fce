//! Annotations and detection results from bytes, in parallel, into structs of arrays.
//!
//! One file per format: [`dota`] (`labelTxt`), [`task1`] (DOTA results, tasks 1 and 2), [`icdar`], [`voc`] (XML),
//! [`ucas`] (UCAS-AOD), [`td500`] (MSRA-TD500), [`lines`] (one file for many images) and [`yolo`]; [`write`] does the
//! reverse. Rows keep the order of the given files and of their lines, for any number of threads. Tolerated: CRLF, a
//! missing last newline, blank lines, several spaces or tabs, a byte-order mark. Any other fault is a [`Problem`]: the
//! first one is returned as the error, or, with [`Options::lenient`], all are skipped and counted.

mod chunks;
pub mod dota;
mod fields;
pub mod icdar;
pub mod image_info;
mod image_list;
pub mod lines;
mod names;
mod number;
mod problem;
mod rows;
pub mod task1;
pub mod td500;
pub mod ucas;
pub mod voc;
pub mod write;
mod xml_shapes;
pub mod yolo;

use crate::geom::Quad;
pub use image_list::{ImageList, read_names};
pub use problem::{Problem, Skipped};
use std::path::PathBuf;

/// Location of a file's bytes.
#[derive(Clone, Debug)]
pub enum Data<'a> {
    /// On disk; read in pieces, never whole if it is large.
    Path(PathBuf),
    /// In memory, for instance from an archive.
    Bytes(&'a [u8]),
}

/// A file to read.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Name in messages.
    pub name: String,
    /// Image of an annotation file, or class of a DOTA result file; unused for files with many images.
    pub subject: String,
    /// Bytes of the file.
    pub data: Data<'a>,
}

/// Settings for reading.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Images in this order, with or without objects. Annotated images that are not listed follow; detections on
    /// images that are not listed are a problem. `None`: the images found, in order of appearance.
    pub images: Option<&'a [String]>,
    /// Classes in this order, with or without objects; others follow.
    pub classes: Option<&'a [String]>,
    /// Whether to skip and count problems instead of failing.
    pub lenient: bool,
    /// Number of problems kept in full if lenient; further ones are only counted.
    pub kept: usize,
    /// Number of threads; 0: one per core.
    pub jobs: usize,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { images: None, classes: None, lenient: false, kept: 20, jobs: 0 }
    }
}

/// Objects of many images: one entry per object in `quads`, `image`, `label`, `difficult` and
/// `line`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    /// Names of the images, including those without objects.
    pub images: Vec<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Corners as written.
    pub quads: Vec<Quad>,
    /// `cx, cy, w, h, angle` as written; empty unless all objects have this form.
    pub rboxes: Vec<[f64; 5]>,
    /// Whether all objects are horizontal boxes in the file; their corners are clockwise from the top left.
    pub upright: bool,
    /// Index into `images`.
    pub image: Vec<u32>,
    /// Index into `classes`.
    pub label: Vec<u32>,
    /// 0, 1 (difficult) or 2 (truncated).
    pub difficult: Vec<u8>,
    /// Line in its file, from 1.
    pub line: Vec<u32>,
    /// Problems; empty unless lenient.
    pub skipped: Skipped,
}

/// Detections on many images: one entry per detection in `quads`, `scores`, `image` and `label`, in file order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detections {
    /// Names of the images: those given, or else those found.
    pub images: Vec<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Corners as written; those of horizontal boxes are clockwise from the top left.
    pub quads: Vec<Quad>,
    /// Scores, finite.
    pub scores: Vec<f64>,
    /// Index into `images`.
    pub image: Vec<u32>,
    /// Index into `classes`.
    pub label: Vec<u32>,
    /// Line in its file, from 1, in formats that have annotations too; else empty.
    pub line: Vec<u32>,
    /// Problems; empty unless lenient.
    pub skipped: Skipped,
}
