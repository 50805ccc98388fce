//! Writing a small image.

use super::ImageError;

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
        Format::Jpeg(_) => Err(ImageError("JPEG is not written yet".into())),
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
