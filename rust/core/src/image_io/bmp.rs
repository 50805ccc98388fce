//! BMP: pixels that lie in the file as they are, read where they are.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::{Area, Decoder, ImageError, any_order, check_claim};

struct Bmp {
    file: File,
    size: (usize, usize),
    /// Where the pixels begin in the file.
    start: u64,
    bits: usize,
    /// RGB; none above 8 bits.
    palette: Vec<[u8; 3]>,
    /// Whether the lowest row comes first.
    bottom_up: bool,
    row: Vec<u8>,
}

/// Opens a file and reads its header.
pub fn open(path: &Path) -> Result<Box<dyn Decoder>, ImageError> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = [0; 66];
    file.read_exact(&mut head[..18])?;
    let long = |head: &[u8], at: usize| i32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let short = |head: &[u8], at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let (start, header) = (long(&head, 10) as u32, long(&head, 14) as u32);
    // The header of OS/2 is 12 bytes long; of longer ones, only what the 40 bytes of the usual one hold is needed.
    let old = header == 12;
    if !old && !(40..=4096).contains(&header) {
        return Err(ImageError(format!("is a BMP with a header of {header} bytes, which is not known")));
    }
    file.read_exact(&mut head[18..if old { 26 } else { 54 }])?;
    let (width, height) = if old {
        (i32::from(short(&head, 18)), i32::from(short(&head, 20)))
    } else {
        (long(&head, 18), long(&head, 22))
    };
    let (bits, compression) = if old { (short(&head, 24), 0) } else { (short(&head, 28), long(&head, 30)) };
    if compression == 3 && bits == 32 {
        file.read_exact(&mut head[54..66])?;
    }
    let plain =
        compression == 0 || compression == 3 && [54, 58, 62].map(|at| long(&head, at)) == [0xff0000, 0xff00, 0xff];
    if !plain || ![1, 4, 8, 24, 32].contains(&bits) || width <= 0 {
        return Err(ImageError(format!(
            "is a BMP of {width} columns, {bits} bits a pixel and compression {compression}: only 1, 4, 8, 24 and 32 \
             bits without compression are read; save it as PNG"
        )));
    }
    let bits = usize::from(bits);
    let size = (width as usize, height.unsigned_abs() as usize);
    check_claim(size, length.saturating_sub(u64::from(start)), (8 / bits as u64).max(1))?;
    let used = if old { 0 } else { long(&head, 46) as usize };
    let palette = palette(&mut file, header, bits, used)?;
    let image = Bmp { file, size, start: start.into(), bits, palette, bottom_up: height > 0, row: Vec::new() };
    if u64::from(start) + image.row_bytes() as u64 * size.1 as u64 > length {
        return Err(ImageError::cut_off());
    }
    Ok(Box::new(image))
}

/// The colours of an image of up to 8 bits; those that are not given are black.
fn palette(file: &mut File, header: u32, bits: usize, used: usize) -> Result<Vec<[u8; 3]>, ImageError> {
    if bits > 8 {
        return Ok(Vec::new());
    }
    let mut palette = vec![[0; 3]; 1 << bits];
    let colours = if used == 0 { palette.len() } else { used.min(palette.len()) };
    let size = if header == 12 { 3 } else { 4 };
    let mut raw = vec![0; colours * size];
    file.seek(SeekFrom::Start(14 + u64::from(header)))?;
    file.read_exact(&mut raw)?;
    for (colour, raw) in palette.iter_mut().zip(raw.chunks_exact(size)) {
        *colour = [raw[2], raw[1], raw[0]];
    }
    Ok(palette)
}

impl Bmp {
    /// Rows are filled up to whole words of 4 bytes.
    fn row_bytes(&self) -> usize {
        (self.size.0 * self.bits).div_ceil(32) * 4
    }
}

impl Decoder for Bmp {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn block(&self) -> (usize, usize) {
        any_order(self.size)
    }

    fn decode(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError> {
        let (first, end) = (area.x * self.bits / 8, ((area.x + area.width) * self.bits).div_ceil(8));
        self.row.resize(end - first, 0);
        for (y, out) in (area.y..).zip(out.chunks_exact_mut(area.width * 3)) {
            let y = if self.bottom_up { self.size.1 - 1 - y } else { y };
            self.file.seek(SeekFrom::Start(self.start + (y * self.row_bytes() + first) as u64))?;
            self.file.read_exact(&mut self.row)?;
            for (x, out) in (area.x..).zip(out.as_chunks_mut::<3>().0) {
                let at = x * self.bits / 8 - first;
                *out = if self.bits > 8 {
                    [self.row[at + 2], self.row[at + 1], self.row[at]]
                } else {
                    let shift = 8 - self.bits - x * self.bits % 8;
                    self.palette[usize::from(self.row[at]) >> shift & (self.palette.len() - 1)]
                };
            }
        }
        Ok(())
    }
}
