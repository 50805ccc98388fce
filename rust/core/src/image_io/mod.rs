//! Reading PNG, JPEG and TIFF images in pieces, and writing small ones, as `split` needs it.
//!
//! Pixels are 8-bit RGB, three bytes each, rows from the top: those of OpenCV's `imread`, in the other channel order.
//! Grey and palettes are expanded, 16 bits become 8, transparency is dropped, and EXIF orientation is applied. There
//! is one module per format; each decodes only the necessary part of the file at a time. Memory for sizes that a file
//! states is taken within the limits of `budget`.

mod budget;
mod encode;
mod ifd;
mod jpeg;
mod png;
mod section;
mod tiff;
mod whole;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use budget::{reserve, zeros};
pub use encode::{Format, encode};
pub use whole::Whole;

/// Error in an image, without the file name.
#[derive(Debug)]
pub struct ImageError(pub String);

impl ImageError {
    fn new(reason: impl Into<String>) -> ImageError {
        ImageError(reason.into())
    }

    fn cut_off() -> ImageError {
        ImageError::new("is cut off: the end of the image is missing")
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ImageError {}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> ImageError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ImageError::cut_off(),
            io::ErrorKind::NotFound => ImageError::new("no such file"),
            // Messages of the decoders.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
                ImageError(format!("is damaged: {error}"))
            }
            _ => ImageError(error.to_string()),
        }
    }
}

/// Rectangle inside an image, unlike a [`crate::tile::Window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

/// An image that is read in pieces.
pub trait Decoder: Send {
    /// Width and height in pixels.
    fn size(&self) -> (usize, usize);

    /// Width and height of the pieces that are cheapest to read.
    ///
    /// If they are as wide as the image, rows are decoded from the top: reading rows decodes those above them too, and
    /// reading above the last row read starts again. Otherwise pieces on this grid can be read in any order.
    fn block(&self) -> (usize, usize);

    /// Reads an area into `out`, `width * height * 3` bytes.
    ///
    /// # Errors
    /// If the file does not contain these pixels.
    ///
    /// # Panics
    /// If the area is not inside the image, or `out` has another size.
    fn read(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError> {
        let (width, height) = self.size();
        assert!(
            area.x + area.width <= width && area.y + area.height <= height,
            "{area:?} of {width} x {height} pixels"
        );
        assert_eq!(out.len(), area.width * area.height * 3, "three bytes per pixel");
        if out.is_empty() { Ok(()) } else { self.decode(area, out) }
    }

    /// Implements [`Decoder::read`] for a checked area: inside the image and not empty.
    ///
    /// # Errors
    /// If the file does not contain these pixels.
    fn decode(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError>;
}

/// Opens an image by its first bytes, whatever its name, and reads its header.
///
/// # Errors
/// If it is not a PNG, JPEG or TIFF, or its header is wrong or claims more pixels than the file can contain.
pub fn open(path: &Path) -> Result<Box<dyn Decoder>, ImageError> {
    let mut start = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut start)?;
    match start.as_slice() {
        [] => Err(ImageError::new("is empty")),
        [0x89, b'P', b'N', b'G', ..] => png::open(path),
        [0xff, 0xd8, ..] => jpeg::open(path),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => tiff::open(path),
        [b'B', b'M', ..] => Err(ImageError::new("is a BMP, which OpenCV reads whole")),
        _ => Err(ImageError::new("is no PNG, JPEG, TIFF or BMP")),
    }
}

/// Block size for images whose parts can be read in any order; not as wide as the image, see [`Decoder::block`].
fn any_order((width, _): (usize, usize)) -> (usize, usize) {
    (512.min(width - 1).max(1), 512)
}
