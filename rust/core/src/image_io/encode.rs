//! Writing a small image.

use mozjpeg::{ColorSpace, Compress};
use std::io;

use super::ImageError;
use super::jpeg::guard;

/// How an image is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lossless, compressed for speed.
    Png,
    /// Of this quality, from 1 to 100.
    Jpeg(u8),
}

/// The bytes of a file that holds these pixels, three bytes each.
///
/// # Errors
/// If the format cannot hold an image of this size.
pub fn encode(pixels: &[u8], width: usize, height: usize, format: Format) -> Result<Vec<u8>, ImageError> {
    match format {
        Format::Png => png(pixels, width, height).map_err(|error| ImageError(error.to_string())),
        Format::Jpeg(_) if width.max(height) > 65_500 => {
            Err(ImageError(format!("JPEG cannot hold {width} x {height} pixels; write PNG")))
        }
        Format::Jpeg(quality) => guard(|| jpeg(pixels, width, height, quality)),
    }
}

fn png(pixels: &[u8], width: usize, height: usize) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::with_capacity(pixels.len() / 2);
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    // Of the filters this one makes the smallest files in the time that the fastest takes.
    encoder.set_filter(png::Filter::Paeth);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// With the settings of libjpeg-turbo, and OpenCV: colours at half the resolution, one scan, the standard codes.
fn jpeg(pixels: &[u8], width: usize, height: usize, quality: u8) -> io::Result<Vec<u8>> {
    let mut encoder = Compress::new(ColorSpace::JCS_RGB);
    encoder.set_size(width, height);
    encoder.set_fastest_defaults();
    encoder.set_quality(quality.into());
    encoder.set_chroma_sampling_pixel_sizes((2, 2), (2, 2));
    let mut encoder = encoder.start_compress(Vec::with_capacity(pixels.len() / 4))?;
    encoder.write_scanlines(pixels)?;
    encoder.finish()
}
