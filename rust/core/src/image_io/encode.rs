//! Writing a small image.

use mozjpeg::{ColorSpace, Compress};
use std::io;

use super::ImageError;
use super::jpeg::guard;

/// Output format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lossless, compressed for speed.
    Png,
    /// JPEG of a quality from 1 to 100.
    Jpeg(u8),
}

/// Encodes pixels, three bytes each, as a file; reuses the memory of `file`.
///
/// # Errors
/// If the format does not support this size.
pub fn encode(
    pixels: &[u8],
    width: usize,
    height: usize,
    format: Format,
    mut file: Vec<u8>,
) -> Result<Vec<u8>, ImageError> {
    file.clear();
    match format {
        Format::Png => png(pixels, width, height, file).map_err(|error| ImageError(error.to_string())),
        Format::Jpeg(_) if width.max(height) > 65_500 => {
            Err(ImageError(format!("JPEG cannot hold {width} x {height} pixels; write PNG")))
        }
        Format::Jpeg(quality) => guard(|| jpeg(pixels, width, height, quality, file)),
    }
}

fn png(pixels: &[u8], width: usize, height: usize, mut file: Vec<u8>) -> Result<Vec<u8>, png::EncodingError> {
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    // As fast as the fastest filter, with the smallest files.
    encoder.set_filter(png::Filter::Paeth);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Encodes with libjpeg-turbo's settings, so that from quality 25 on the bytes equal OpenCV's: chroma at half the
/// resolution, one scan, the standard Huffman codes.
fn jpeg(pixels: &[u8], width: usize, height: usize, quality: u8, file: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut encoder = Compress::new(ColorSpace::JCS_RGB);
    encoder.set_size(width, height);
    encoder.set_fastest_defaults();
    encoder.set_quality(quality.into());
    encoder.set_chroma_sampling_pixel_sizes((2, 2), (2, 2));
    let mut encoder = encoder.start_compress(file)?;
    encoder.write_scanlines(pixels)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Vec<u8> {
        let pixels = (0..61).flat_map(|y| (0..83).map(move |x| (x, y)));
        pixels.flat_map(|(x, y): (u32, u32)| [x * 3 + y, x * y / 8, 255 - (x + y * 2)].map(|c| c as u8)).collect()
    }

    /// OpenCV 5.0's `imencode('.jpg', image, [IMWRITE_JPEG_QUALITY, quality])`: length and CRC-32.
    #[test]
    fn jpeg_is_that_of_opencv() {
        for (quality, length, crc) in [(25, 1109, 0x93c7_e5c6), (95, 2992, 0x62bb_50a2), (100, 5027, 0x7723_b7a5)] {
            let file = encode(&picture(), 83, 61, Format::Jpeg(quality), Vec::new()).expect("memory");
            let mut found = flate2::Crc::new();
            found.update(&file);
            assert_eq!((file.len(), found.sum()), (length, crc), "quality {quality}");
        }
    }

    #[test]
    fn sizes_that_jpeg_cannot_hold() {
        let error = encode(&[0; 70_000 * 3], 70_000, 1, Format::Jpeg(95), Vec::new()).expect_err("too wide");
        assert_eq!(error.0, "JPEG cannot hold 70000 x 1 pixels; write PNG");
        assert!(encode(&[0; 70_000 * 3], 70_000, 1, Format::Png, Vec::new()).is_ok());
    }
}
