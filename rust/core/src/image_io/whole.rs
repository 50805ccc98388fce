//! Images that cannot be read in bands: interlaced ones, those with an EXIF orientation, and those of other decoders.

use super::budget::{check_whole, zeros};
use super::{Area, Decoder, ImageError, any_order};

/// An image that is decoded whole when its first piece is read, and stays in memory.
pub struct Whole<F> {
    size: (usize, usize),
    decode: F,
    pixels: Option<Vec<u8>>,
}

impl<F: FnMut() -> Result<Vec<u8>, ImageError> + Send> Whole<F> {
    /// `decode` returns all pixels, RGB, row by row.
    pub fn new(size: (usize, usize), decode: F) -> Whole<F> {
        Whole { size, decode, pixels: None }
    }
}

impl<F: FnMut() -> Result<Vec<u8>, ImageError> + Send> Decoder for Whole<F> {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn block(&self) -> (usize, usize) {
        any_order(self.size)
    }

    fn decode(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError> {
        let pixels = match self.pixels.take() {
            Some(pixels) => pixels,
            None => (self.decode)()?,
        };
        let rows = pixels.chunks_exact(self.size.0 * 3).skip(area.y);
        for (out, row) in out.chunks_exact_mut(area.width * 3).zip(rows) {
            out.copy_from_slice(&row[area.x * 3..][..area.width * 3]);
        }
        self.pixels = Some(pixels);
        Ok(())
    }
}

/// Applies an EXIF orientation, from 1 (unchanged) to 8.
///
/// # Errors
/// If the image is too large to be held whole, as turning it requires.
pub fn turned(mut image: Box<dyn Decoder>, orientation: u64) -> Result<Box<dyn Decoder>, ImageError> {
    if !(2..=8).contains(&orientation) {
        return Ok(image);
    }
    let (width, height) = image.size();
    check_whole((width, height), "an image with an EXIF orientation")?;
    let size = if orientation >= 5 { (height, width) } else { (width, height) };
    Ok(Box::new(Whole::new(size, move || {
        let mut pixels = zeros(width.saturating_mul(height).saturating_mul(3))?;
        let rows = image.block().1.clamp(1, height);
        let mut band = zeros(width * rows * 3)?;
        for y in (0..height).step_by(rows) {
            let area = Area { x: 0, y, width, height: rows.min(height - y) };
            let band = &mut band[..width * area.height * 3];
            image.read(area, band)?;
            for (i, pixel) in band.as_chunks::<3>().0.iter().enumerate() {
                let (x, y) = place(i % width, y + i / width, (width, height), orientation);
                pixels[(y * size.0 + x) * 3..][..3].copy_from_slice(pixel);
            }
        }
        Ok(pixels)
    })))
}

/// Position of a pixel of the file in the result.
fn place(x: usize, y: usize, (width, height): (usize, usize), orientation: u64) -> (usize, usize) {
    let (left, up) = (width - 1 - x, height - 1 - y);
    match orientation {
        2 => (left, y),
        3 => (left, up),
        4 => (x, up),
        5 => (y, x),
        6 => (up, x),
        7 => (up, left),
        8 => (y, left),
        _ => (x, y),
    }
}
