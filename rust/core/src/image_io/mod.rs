//! Reading images in pieces, and writing small ones: what a splitter needs of PNG, JPEG, TIFF and BMP.
//!
//! Pixels are 8-bit RGB, three bytes each, rows from the top: what OpenCV's `imread` shows, in the other order of
//! channels. Grey and palettes are expanded, of 16 bits the upper 8 are taken, transparency is left out, and EXIF
//! orientation is applied. One file a format; each decodes no more of the file at a time than it must.

mod encode;
mod png;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use encode::{Format, encode};

/// What is wrong with an image, without the name of its file.
#[derive(Debug)]
pub struct ImageError(pub String);

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ImageError {}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> ImageError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ImageError("is cut off: the end of the image is missing".into()),
            io::ErrorKind::NotFound => ImageError("no such file".into()),
            _ => ImageError(error.to_string()),
        }
    }
}

/// A rectangle of an image; unlike a [`crate::tile::Window`] it lies within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The first column.
    pub x: usize,
    /// The first row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// An image that is read in pieces.
pub trait Decoder: Send {
    /// Width and height in pixels.
    fn size(&self) -> (usize, usize);

    /// Width and height of the pieces that cost least to read.
    ///
    /// If they are as wide as the image, rows come from the top down: to read some, those above are decoded too, and
    /// reading above the last row read starts anew. Otherwise pieces on this grid can be read in any order.
    fn block(&self) -> (usize, usize);

    /// Reads an area into `out`, `width * height * 3` bytes.
    ///
    /// # Errors
    /// If the file does not hold those pixels.
    ///
    /// # Panics
    /// If the area is not within the image, or `out` is of another size.
    fn read(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError>;
}

/// Opens an image by what its first bytes say, whatever the file is called, and reads its header.
///
/// # Errors
/// If it is no PNG, JPEG, TIFF or BMP, or its header is wrong, or claims more pixels than the file can hold.
pub fn open(path: &Path) -> Result<Box<dyn Decoder>, ImageError> {
    let mut start = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut start)?;
    match start.as_slice() {
        [] => Err(ImageError("is empty".into())),
        [0x89, b'P', b'N', b'G', ..] => Ok(Box::new(png::Png::open(path)?)),
        _ => Err(ImageError("is no PNG, JPEG, TIFF or BMP".into())),
    }
}

/// Whether `area` lies within an image of this size and `out` has room for just its pixels; panics if not.
fn check_area(area: Area, (width, height): (usize, usize), out: &[u8]) {
    assert!(area.x + area.width <= width && area.y + area.height <= height, "{area:?} of {width} x {height} pixels");
    assert_eq!(out.len(), area.width * area.height * 3, "three bytes a pixel");
}
