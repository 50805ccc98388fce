//! PNG, row by row.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::budget::{check_claim, check_whole, zeros};
use super::whole::{Whole, turned};
use super::{Area, Decoder, ImageError, ifd};

/// Deflate expands a byte to at most 1032 bytes.
const EXPANSION: u64 = 1032;

/// A PNG file whose rows come in order.
struct Png {
    path: PathBuf,
    reader: png::Reader<BufReader<File>>,
    size: (usize, usize),
    /// Next row; past the end after an error, so that the file is read again.
    next: usize,
}

/// Opens a file and reads its header.
pub fn open(path: &Path) -> Result<Box<dyn Decoder>, ImageError> {
    let orientation = check_chunks(path)?;
    let reader = start(path)?;
    let info = reader.info();
    let size = (info.width as usize, info.height as usize);
    let path = path.to_owned();
    let image: Box<dyn Decoder> = if info.interlaced {
        check_whole(size, "an interlaced image")?;
        Box::new(Whole::new(size, move || interlaced(&path)))
    } else {
        Box::new(Png { path, reader, size, next: 0 })
    };
    turned(image, orientation)
}

/// Walks over the chunks: refuses a file that ends too early or claims too much, and returns the orientation, which
/// may follow the pixels.
fn check_chunks(path: &Path) -> Result<u64, ImageError> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    // Chunks may be small: with a small buffer, little more than their headers is read.
    let mut file = BufReader::with_capacity(64, file);
    let mut head = [0; 26];
    file.read_exact(&mut head)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let samples = match head[25] {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let size = (number(&head[16..20]) as usize, number(&head[20..24]) as usize);
    check_claim(size, samples * u64::from(head[24].max(1)), length, EXPANSION)?;
    let (mut at, mut orientation) = (8, 1);
    loop {
        if at + 12 > length {
            return Err(ImageError::cut_off());
        }
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head[..8])?;
        let size = number(&head[..4]);
        if at + 12 + size > length {
            return Err(ImageError::cut_off());
        }
        match &head[4..8] {
            b"IEND" => return Ok(orientation),
            b"eXIf" => {
                let mut exif = zeros(size as usize)?;
                file.read_exact(&mut exif)?;
                orientation = ifd::orientation(&exif);
            }
            _ => {}
        }
        at += 12 + size;
    }
}

fn start(path: &Path) -> Result<png::Reader<BufReader<File>>, ImageError> {
    let mut decoder = png::Decoder::new(BufReader::new(File::open(path)?));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.read_info().map_err(error)
}

fn interlaced(path: &Path) -> Result<Vec<u8>, ImageError> {
    let mut reader = start(path)?;
    let size = reader.output_buffer_size().ok_or_else(|| ImageError::new("is too large for this machine"))?;
    let mut raw = zeros(size)?;
    let info = reader.next_frame(&mut raw).map_err(error)?;
    reader.finish().map_err(error)?;
    let mut pixels = zeros((info.width as usize).saturating_mul(info.height as usize).saturating_mul(3))?;
    paint(&raw, info.color_type.samples(), &mut pixels);
    Ok(pixels)
}

impl Decoder for Png {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn block(&self) -> (usize, usize) {
        (self.size.0, 64)
    }

    fn decode(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError> {
        if area.y < self.next {
            self.reader = start(&self.path)?;
            self.next = 0;
        }
        let (first, samples) = (self.next, self.reader.output_color_type().0.samples());
        self.next = usize::MAX;
        for _ in first..area.y {
            self.reader.next_row().map_err(error)?;
        }
        for out in out.chunks_exact_mut(area.width * 3) {
            let row = self.reader.next_row().map_err(error)?.ok_or_else(ImageError::cut_off)?;
            paint(&row.data()[area.x * samples..], samples, out);
        }
        if area.y + area.height == self.size.1 {
            self.reader.finish().map_err(error)?; // the checksums of what is left
        }
        self.next = area.y + area.height;
        Ok(())
    }
}

/// Pixels of one to four samples as RGB; alpha is dropped.
fn paint(row: &[u8], samples: usize, out: &mut [u8]) {
    if samples == 3 {
        return out.copy_from_slice(&row[..out.len()]);
    }
    for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.chunks_exact(samples)) {
        *out = if samples < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
    }
}

fn error(error: png::DecodingError) -> ImageError {
    match error {
        png::DecodingError::IoError(error) => error.into(),
        png::DecodingError::Format(error) => ImageError(format!("is damaged: {error}")),
        png::DecodingError::LimitsExceeded => {
            ImageError::new("has a row of more than 64 MiB, or a chunk beside the pixels that is as large")
        }
        other => ImageError(other.to_string()),
    }
}
