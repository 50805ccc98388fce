//! Annotations and detection results from bytes, in parallel, into structs of arrays.
//!
//! One file a format: [`dota`] (`labelTxt`), [`task1`] (DOTA results, tasks 1 and 2), [`icdar`], [`voc`] (xml),
//! [`ucas`] (UCAS-AOD), [`td500`] (MSRA-TD500), [`lines`] (one file for many images) and [`yolo`]; [`write`] is the
//! way back. Rows keep the order of the files given and of their lines,
//! whatever the number of threads. Tolerated: CRLF, a missing last newline, blank lines, several spaces or
//! tabs, a byte-order mark. Everything else that is wrong is a [`Problem`]: the first one is the error, or,
//! with [`Options::lenient`], every one is skipped and counted.

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
pub mod yolo;

use crate::geom::Quad;
pub use image_list::{ImageList, read_names};
pub use problem::{Problem, Skipped};
use std::path::PathBuf;

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub enum Data<'a> {
    /// On disk; read in pieces, never whole if it is large.
    Path(PathBuf),
    /// In memory already, for instance out of an archive.
    Bytes(&'a [u8]),
}

/// A file to read.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// What to call it in messages.
    pub name: String,
    /// What it is about: the image of an annotation file, the class of a DOTA result file; unused where one
    /// file holds many images.
    pub subject: String,
    /// Its bytes.
    pub data: Data<'a>,
}

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Images in this order, whether anything is found on them or not. Annotations of others come after them;
    /// detections on others are a problem. `None`: those found, in order of appearance.
    pub images: Option<&'a [String]>,
    /// Classes in this order, whether anything is of them or not; others come after them.
    pub classes: Option<&'a [String]>,
    /// Skip and count what is wrong instead of failing.
    pub lenient: bool,
    /// How many problems are kept with their text if lenient; the others are counted only.
    pub kept: usize,
    /// Number of threads; 0: one a core.
    pub jobs: usize,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { images: None, classes: None, lenient: false, kept: 20, jobs: 0 }
    }
}

/// Objects of many images: one entry an object in `quads`, `image`, `label`, `difficult` and
/// `line`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    /// Names of the images, those without objects included.
    pub images: Vec<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Corners as written.
    pub quads: Vec<Quad>,
    /// `cx, cy, w, h, angle` as written; empty unless all objects are written so.
    pub rboxes: Vec<[f64; 5]>,
    /// Whether all objects are written as horizontal boxes; their corners are clockwise from the top left.
    pub upright: bool,
    /// Index into `images`.
    pub image: Vec<u32>,
    /// Index into `classes`.
    pub label: Vec<u32>,
    /// 0, 1 (difficult) or 2 (truncated).
    pub difficult: Vec<u8>,
    /// The line of its file that it stands on, from 1.
    pub line: Vec<u32>,
    /// What was wrong; empty unless lenient.
    pub skipped: Skipped,
}

/// Detections on many images: one entry a detection in `quads`, `scores`, `image` and `label`, in file order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detections {
    /// Names of the images: those given, or if none was, those found.
    pub images: Vec<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Corners as written; horizontal boxes by their corners, clockwise from the top left.
    pub quads: Vec<Quad>,
    /// Finite.
    pub scores: Vec<f64>,
    /// Index into `images`.
    pub image: Vec<u32>,
    /// Index into `classes`.
    pub label: Vec<u32>,
    /// The line of its file that it stands on, from 1, in formats of which there are annotations, too; else empty.
    pub line: Vec<u32>,
    /// What was wrong; empty unless lenient.
    pub skipped: Skipped,
}
