//! PNG, row by row.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{Area, Decoder, ImageError, check_area};

/// A PNG file.
pub struct Png {
    path: PathBuf,
    reader: png::Reader<BufReader<File>>,
    size: (usize, usize),
    /// The row that comes next.
    next: usize,
}

impl Png {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Png, ImageError> {
        let mut decoder = png::Decoder::new(BufReader::new(File::open(path)?));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
        let reader = decoder.read_info().map_err(error)?;
        let size = (reader.info().width as usize, reader.info().height as usize);
        Ok(Png { path: path.to_owned(), reader, size, next: 0 })
    }
}

impl Decoder for Png {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn block(&self) -> (usize, usize) {
        (self.size.0, 64)
    }

    fn read(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError> {
        check_area(area, self.size, out);
        if area.y < self.next {
            *self = Png::open(&self.path)?;
        }
        while self.next < area.y {
            self.reader.next_row().map_err(error)?;
            self.next += 1;
        }
        for out in out.chunks_exact_mut(area.width * 3) {
            let row = self.reader.next_row().map_err(error)?.ok_or_else(|| ImageError("has too few rows".into()))?;
            out.copy_from_slice(&row.data()[area.x * 3..][..area.width * 3]);
            self.next += 1;
        }
        Ok(())
    }
}

fn error(error: png::DecodingError) -> ImageError {
    match error {
        png::DecodingError::IoError(error) => error.into(),
        other => ImageError(other.to_string()),
    }
}
