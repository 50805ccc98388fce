//! TIFF: only the necessary strips and tiles are decoded, and at most a row of them is kept in memory.

mod pixels;
mod streams;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::budget::{check_likely, grouped, reserve, resize};
use super::ifd::Directory;
use super::section::Section;
use super::whole::turned;
use super::{Area, Decoder, ImageError, any_order};
use pixels::{Colour, unpack};
use streams::{Compression, Jpeg, Rows, undo_differences};

/// Largest number of samples per pixel, above that of any sensor; it bounds the memory for a row.
const MOST_SAMPLES: u64 = 1024;

/// Longest row of a strip or tile, in bytes, that a file of any length may have: GDAL writes small files whose tiles are
/// all left out.
const SHORT_ROW: u64 = 1 << 20;

/// Number of pixels of the largest tile that an image of any size may have.
const SMALL_TILE: usize = 1 << 22;

/// Number of bytes of the tables of JPEG strips and tiles, at most.
const MOST_TABLES: usize = 1 << 16;

/// Location of a strip or tile that is not in the file; GDAL omits those of zeros.
const LEFT_OUT: (u64, u64) = (0, 0);

/// The first image of a TIFF file.
struct Tiff {
    file: Arc<File>,
    size: (usize, usize),
    /// Strips are tiles as wide as the image.
    tile: (usize, usize),
    /// First byte and length of each strip or tile, plane by plane.
    places: Vec<(u64, u64)>,
    /// Number of planes: 1, or the number of samples if each has its own plane.
    planes: usize,
    /// Samples per pixel within one plane.
    samples: usize,
    bits: usize,
    big_endian: bool,
    compression: Compression,
    differences: bool,
    colour: Colour,
    jpeg: Jpeg,
    /// For each plane, the current strip or tile and its reading position.
    open: Vec<Option<Open>>,
    row: Vec<u8>,
    /// Samples of the requested columns, of all planes.
    pixels: Vec<u8>,
}

/// A strip or tile that is being read.
struct Open {
    index: usize,
    next: usize,
    rows: Box<dyn Rows>,
}

/// Opens a file and reads its first directory.
pub fn open(path: &Path) -> Result<Box<dyn Decoder>, ImageError> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let file = Arc::new(file);
    let mut tags = Directory::first(BufReader::new(&*file), length)?;
    let size = (tags.number(256, 0)? as usize, tags.number(257, 0)? as usize);
    let tile = match (tags.numbers(322, 1)?.first(), tags.number(278, u64::MAX)?) {
        (Some(&width), _) => (width as usize, tags.number(323, 0)? as usize),
        (None, rows) => (size.0, (rows as usize).min(size.1)),
    };
    let compression = Compression::from_tag(tags.number(259, 1)?);
    // First of all, as other readers are tried for what is of another kind only.
    check_likely(size, 1, length, compression.as_ref().map_or(Compression::OTHERS, |c| c.expansion()))?;
    check_tile(size, tile)?;
    let compression = compression?;
    let (bits, samples) = samples(&mut tags)?;
    let colour = Colour::from_tags(&mut tags, samples, bits)?;
    let planes = if tags.number(284, 1)? == 2 { samples } else { 1 };
    let samples = samples / planes;
    let ycbcr = tags.number(262, 0)? == 6;
    let jpeg = compression == Compression::Jpeg;
    if ycbcr && !jpeg || jpeg && (bits != 8 || ![1, 3, 4].contains(&samples)) {
        return Err(ImageError(format!(
            "is a TIFF of {}{samples} samples of {bits} bits {} JPEG, which is not read; write it as 8-bit RGB",
            if ycbcr { "YCbCr with " } else { "" },
            if jpeg { "in" } else { "without" },
        )));
    }
    let tables = tags.numbers(347, MOST_TABLES)?.iter().map(|&byte| byte as u8).collect();
    let needed = size.0.div_ceil(tile.0).saturating_mul(size.1.div_ceil(tile.1)).saturating_mul(planes);
    let tiff = Tiff {
        size,
        tile,
        places: places(&mut tags, needed)?,
        planes,
        samples,
        bits,
        big_endian: tags.big_endian,
        compression,
        differences: differences(&mut tags, compression, bits)?,
        colour,
        jpeg: Jpeg { tables, samples, ycbcr, size: tile },
        open: (0..planes).map(|_| None).collect(),
        row: Vec::new(),
        pixels: Vec::new(),
        file: file.clone(),
    };
    tiff.check(length, needed)?;
    turned(Box::new(tiff), tags.orientation())
}

/// Bits per sample, and samples per pixel.
fn samples<R: Read + Seek>(tags: &mut Directory<R>) -> Result<(usize, usize), ImageError> {
    let (bits, samples) = (tags.numbers(258, MOST_SAMPLES as usize)?, tags.number(277, 1)?);
    let format = tags.number(339, 1)?;
    let one = bits.first().copied().unwrap_or(1);
    if let Some(kind) = match format {
        2 => Some("signed numbers"),
        3 => Some("floating point numbers"),
        5 | 6 => Some("complex numbers"),
        _ if bits.iter().any(|&bits| bits != one) => Some("samples of unequal bits"),
        _ if !(1..=MOST_SAMPLES).contains(&samples) => Some("no samples, or too many"),
        _ => None,
    } {
        return Err(ImageError(format!(
            "is a TIFF with {kind}: only numbers without sign of up to 16 bits are read; make it 8 bits, such as with \
             gdal_translate -ot Byte -scale"
        )));
    }
    Ok((one as usize, samples as usize))
}

/// Whether each sample is stored as the difference from its left neighbour.
fn differences<R: Read + Seek>(
    tags: &mut Directory<R>,
    compression: Compression,
    bits: usize,
) -> Result<bool, ImageError> {
    match tags.number(317, 1)? {
        1 => Ok(false),
        _ if ![Compression::Lzw, Compression::Deflate].contains(&compression) => Ok(false), // it applies only to these
        2 if bits >= 8 => Ok(true),
        other => {
            Err(ImageError(format!("is a TIFF of {bits} bits per sample with predictor {other}, which is not read")))
        }
    }
}

/// First byte and length of each strip or tile, of the `needed` ones; length 0 where none is given.
fn places<R: Read + Seek>(tags: &mut Directory<R>, needed: usize) -> Result<Vec<(u64, u64)>, ImageError> {
    let mut of = |tile, strip| match tags.numbers(tile, needed) {
        Ok(numbers) if numbers.is_empty() => tags.numbers(strip, needed),
        numbers => numbers,
    };
    let (starts, lengths) = (of(324, 273)?, of(325, 279)?);
    let mut places = Vec::new();
    reserve(&mut places, starts.len())?;
    places.extend(starts.into_iter().zip(lengths.into_iter().chain(std::iter::repeat(0))));
    Ok(places)
}

/// Refuses strips and tiles without pixels, or far larger than the image.
fn check_tile(size: (usize, usize), tile: (usize, usize)) -> Result<(), ImageError> {
    let most = |size: usize| size.max(1 << 16);
    let pixels = |(width, height): (usize, usize)| width.saturating_mul(height);
    if tile.0 == 0
        || tile.1 == 0
        || tile.0 > most(size.0)
        || tile.1 > most(size.1)
        || pixels(tile) > SMALL_TILE.max(pixels(size))
    {
        return Err(ImageError(format!("is damaged: it is a TIFF with tiles of {} x {} pixels", tile.0, tile.1)));
    }
    Ok(())
}

impl Tiff {
    /// Columns and rows of strips or tiles.
    fn grid(&self) -> (usize, usize) {
        (self.size.0.div_ceil(self.tile.0), self.size.1.div_ceil(self.tile.1))
    }

    /// Whether strips or tiles are as wide as the image.
    fn in_rows(&self) -> bool {
        self.tile.0 >= self.size.0
    }

    /// Bytes of a row of a strip or tile.
    fn row_bytes(&self) -> usize {
        (self.tile.0 * self.samples * self.bits).div_ceil(8)
    }

    /// Refuses strips and tiles that the file cannot contain, before allocating memory.
    fn check(&self, length: u64, needed: usize) -> Result<(), ImageError> {
        if self.places.len() < needed {
            return Err(ImageError(format!("is damaged: it has {} of {needed} strips or tiles", self.places.len())));
        }
        let ((across, down), expansion) = (self.grid(), self.compression.expansion());
        // Strips and tiles that are left out have rows too.
        let row = (self.row_bytes() as u64).saturating_mul(self.planes as u64);
        if row > length.saturating_mul(expansion).max(SHORT_ROW) {
            return Err(ImageError(format!(
                "claims {} bytes for a row of pixels, more than its {} bytes can hold",
                grouped(row),
                grouped(length)
            )));
        }
        let mut all = 0u64;
        for (i, &(start, held)) in self.places[..needed].iter().enumerate() {
            if (start, held) == LEFT_OUT {
                continue;
            }
            let rows = if across > 1 || self.tile.0 > self.size.0 {
                self.tile.1
            } else {
                self.tile.1.min(self.size.1 - i / across % down * self.tile.1)
            };
            let bytes = (self.row_bytes() as u64).saturating_mul(rows as u64);
            let plain = self.compression == Compression::None;
            let end = start.saturating_add(if plain { bytes } else { held });
            if end > length {
                return Err(ImageError::cut_off());
            }
            if plain {
                continue;
            }
            all = all.saturating_add(bytes);
            if bytes > (held + self.jpeg.tables.len() as u64).saturating_mul(expansion) {
                return Err(ImageError(format!("has a strip or tile of {held} bytes that cannot hold {bytes}")));
            }
        }
        // Several strips or tiles may share bytes, but not as many as would take any time or memory.
        if all > length.saturating_mul(expansion) {
            return Err(ImageError(format!(
                "claims {} bytes in strips or tiles, more than its {} bytes can hold",
                grouped(all),
                grouped(length)
            )));
        }
        Ok(())
    }

    /// Reads the columns of a row of a strip or tile into `self.row`: from the first requested column if samples are
    /// whole bytes, else from column 0.
    fn read_row(&mut self, plane: usize, index: usize, row: usize, columns: &Range<usize>) -> Result<(), ImageError> {
        let bytes = self.row_bytes();
        let (start, length) = self.places[index];
        let pixel = self.samples * self.bits / 8;
        if (start, length) == LEFT_OUT {
            self.row.clear();
            return resize(&mut self.row, bytes);
        }
        if self.compression == Compression::None && self.in_rows() {
            let (first, wanted) =
                if self.bits < 8 { (0, bytes) } else { (columns.start * pixel, columns.len() * pixel) };
            resize(&mut self.row, wanted)?;
            let start = start + (row * bytes + first) as u64;
            return Ok(Section::new(&self.file, start, wanted as u64).read_exact(&mut self.row)?);
        }
        let mut open = match self.open[plane].take() {
            Some(open) if open.index == index && open.next <= row => open,
            _ => {
                let length = if self.compression == Compression::None { u64::MAX } else { length };
                let rows = self.compression.open(Section::new(&self.file, start, length), &self.jpeg)?;
                Open { index, next: 0, rows }
            }
        };
        resize(&mut self.row, bytes)?;
        while open.next <= row {
            open.rows.row(&mut self.row)?;
            open.next += 1;
        }
        self.open[plane] = Some(open);
        if self.differences {
            undo_differences(&mut self.row, self.samples, self.bits, self.big_endian);
        }
        if self.bits >= 8 {
            self.row.copy_within(columns.start * pixel..columns.end * pixel, 0);
        }
        Ok(())
    }

    /// Collects into `self.pixels` the samples of some columns of a row, all planes together.
    fn collect(&mut self, tile: usize, row: usize, columns: Range<usize>) -> Result<(), ImageError> {
        let (across, down) = self.grid();
        let bytes = self.bits.div_ceil(8);
        resize(&mut self.pixels, columns.len() * self.samples * self.planes * bytes)?;
        for plane in 0..self.planes {
            self.read_row(plane, plane * across * down + tile, row, &columns)?;
            if self.bits < 8 && self.planes == 1 {
                unpack(&self.row, self.bits, columns.start * self.samples, &mut self.pixels);
            } else if self.bits < 8 {
                self.pixels.chunks_exact_mut(self.planes).zip(columns.clone()).for_each(|(pixel, column)| {
                    unpack(&self.row, self.bits, column, &mut pixel[plane..=plane]);
                });
            } else {
                let pixel = self.samples * bytes;
                let out = self.pixels.chunks_exact_mut(pixel).skip(plane).step_by(self.planes);
                out.zip(self.row.chunks_exact(pixel)).for_each(|(out, row)| out.copy_from_slice(row));
            }
        }
        Ok(())
    }
}

impl Decoder for Tiff {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn block(&self) -> (usize, usize) {
        match self.compression {
            Compression::None if self.in_rows() => any_order(self.size),
            _ if self.in_rows() => (self.size.0, 64),
            _ => (self.tile.0, self.tile.1.min(self.size.1)),
        }
    }

    fn decode(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError> {
        let ((width, height), across) = (self.tile, self.grid().0);
        for (y0, rows) in pieces(area.y, area.height, height) {
            for (x0, columns) in pieces(area.x, area.width, width) {
                for y in rows.clone() {
                    let tile = y0 / height * across + x0 / width;
                    self.collect(tile, y - y0, columns.start - x0..columns.end - x0)?;
                    let at = (y - area.y) * area.width + columns.start - area.x;
                    let out = &mut out[at * 3..][..columns.len() * 3];
                    self.colour.paint(&self.pixels, self.samples * self.planes, self.big_endian, out);
                }
            }
        }
        Ok(())
    }
}

/// Parts of a range in each tile that it touches: the tile's start, and the part.
fn pieces(start: usize, length: usize, tile: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let end = start + length;
    (start / tile * tile..end).step_by(tile).map(move |t| (t, t.max(start)..(t + tile).min(end)))
}
