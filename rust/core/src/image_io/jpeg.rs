//! JPEG, row by row, by libjpeg; bit-identical to OpenCV.

use mozjpeg::{ColorSpace, Decompress, Marker};
use mozjpeg_sys::{self as ffi, J_MESSAGE_CODE, jpeg_common_struct, jpeg_error_mgr};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use super::whole::turned;
use super::{Area, Decoder, ImageError, check_claim, ifd};

/// A block of 8 x 8 pixels takes at least one bit.
pub const PIXELS_PER_BYTE: u64 = 512;

/// Warnings of libjpeg about missing pixels, which it fills with grey; they are errors here.
const MISSING_PIXELS: [J_MESSAGE_CODE; 4] =
    [ffi::JWRN_HIT_MARKER, ffi::JWRN_HUFF_BAD_CODE, ffi::JWRN_JPEG_EOF, ffi::JWRN_MUST_RESYNC];

/// A JPEG file.
struct Jpeg {
    path: PathBuf,
    size: (usize, usize),
    /// None before the first row and after an error.
    rows: Option<Rows>,
    /// Next row.
    next: usize,
    row: Vec<u8>,
}

/// Opens a file and reads its header.
pub fn open(path: &Path) -> Result<Box<dyn Decoder>, ImageError> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let header = header(Box::new(BufReader::new(file)))?;
    let exif = header.markers().filter(|m| m.marker == Marker::APP(1)).find_map(|m| m.data.strip_prefix(b"Exif\0\0"));
    let orientation = exif.map_or(1, ifd::orientation);
    let size = header.size();
    check_claim(size, length, PIXELS_PER_BYTE)?;
    Ok(turned(Box::new(Jpeg { path: path.to_owned(), size, rows: None, next: 0, row: Vec::new() }), orientation))
}

impl Decoder for Jpeg {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn block(&self) -> (usize, usize) {
        (self.size.0, 64)
    }

    fn decode(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError> {
        let mut rows = match self.rows.take().filter(|_| self.next <= area.y) {
            Some(rows) => rows,
            None => {
                self.next = 0;
                let header = header(Box::new(BufReader::new(File::open(&self.path)?)))?;
                let samples = if header.components().len() == 4 { 4 } else { 3 };
                Rows::start(header, samples)?
            }
        };
        let samples = rows.samples;
        self.row.resize(self.size.0 * samples, 0);
        for _ in self.next..area.y {
            rows.read(&mut self.row)?;
        }
        for out in out.chunks_exact_mut(area.width * 3) {
            rows.read(&mut self.row)?;
            let row = &self.row[area.x * samples..][..area.width * samples];
            match samples {
                4 => out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks().0).for_each(|(o, &p)| *o = from_cmyk(p)),
                _ => out.copy_from_slice(row),
            }
        }
        self.next = area.y + area.height;
        self.rows = Some(rows);
        Ok(())
    }
}

/// Converts CMYK, which is inverted in JPEG files, as OpenCV does.
fn from_cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| k - ((u16::from(255 - ink) * u16::from(k)) >> 8) as u8)
}

/// Source of a stream's bytes.
pub type Source = Box<dyn BufRead + Send>;

/// Rows of a JPEG stream, from the top.
pub struct Rows {
    /// None after the last row.
    started: Option<mozjpeg::decompress::DecompressStarted<Source>>,
    /// Samples per pixel: 1 is grey, 3 RGB, 4 CMYK.
    samples: usize,
    left: usize,
}

// SAFETY: it only points into memory that it owns, and between calls the C code keeps nothing that belongs to a thread.
unsafe impl Send for Rows {}

impl Rows {
    /// Starts decoding to a number of samples per pixel; a stream of several scans is decoded whole, to two bytes per
    /// sample.
    pub fn start(header: Decompress<Source>, samples: usize) -> Result<Rows, ImageError> {
        let space = match samples {
            1 => ColorSpace::JCS_GRAYSCALE,
            3 => ColorSpace::JCS_RGB,
            _ => ColorSpace::JCS_CMYK,
        };
        let left = header.height();
        let started = guard(|| header.to_colorspace(space))?;
        Ok(Rows { started: Some(started), samples, left })
    }

    /// Next row, `width * samples` bytes; after the last one, the rest of the stream is checked.
    pub fn read(&mut self, out: &mut [u8]) -> Result<(), ImageError> {
        let mut started = self.started.take().ok_or_else(ImageError::cut_off)?;
        guard(|| started.read_scanlines_into(out).map(drop))?;
        self.left -= 1;
        if self.left == 0 {
            return guard(|| started.finish());
        }
        self.started = Some(started);
        Ok(())
    }
}

/// Reads the header of a stream.
pub fn header(source: Source) -> Result<Decompress<Source>, ImageError> {
    guard(|| Decompress::builder().with_err(errors()).with_markers(&[Marker::APP(1)]).from_reader(source))
}

/// Payload of the unwinding on libjpeg errors.
struct Failure {
    code: J_MESSAGE_CODE,
    message: String,
}

/// Calls libjpeg, which unwinds on errors.
pub fn guard<T>(call: impl FnOnce() -> io::Result<T>) -> Result<T, ImageError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Ok(result?),
        Err(cause) => Err(match cause.downcast::<Failure>() {
            Ok(failure) if [ffi::JWRN_JPEG_EOF, ffi::JERR_FILE_READ].contains(&failure.code) => ImageError::cut_off(),
            Ok(failure) => {
                ImageError(format!("is damaged, or of a kind of JPEG that is not read: {}", failure.message))
            }
            Err(_) => ImageError::new("libjpeg failed"),
        }),
    }
}

/// libjpeg's default error handling, except that errors and warnings about missing pixels unwind.
fn errors() -> jpeg_error_mgr {
    // SAFETY: all of its fields may be zero, and `jpeg_std_error` sets them.
    let mut errors = unsafe {
        let mut errors = std::mem::zeroed();
        ffi::jpeg_std_error(&mut errors);
        errors
    };
    errors.error_exit = Some(fail);
    errors.emit_message = Some(heed);
    errors
}

unsafe extern "C-unwind" fn fail(info: &mut jpeg_common_struct) {
    let mut text = [0; 200]; // the most that libjpeg writes
    // SAFETY: libjpeg calls this with its own structure, whose `err` is what `errors` made; libjpeg writes to the text,
    // which is longer than the binding says.
    let code = unsafe {
        let errors = &*info.err;
        if let Some(format) = errors.format_message {
            let format: unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &mut [u8; 200]) =
                std::mem::transmute(format);
            format(info, &mut text);
        }
        (*info.err).msg_code
    };
    let message = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let message = String::from_utf8_lossy(message).into_owned();
    resume_unwind(Box::new(Failure { code: code as J_MESSAGE_CODE, message }));
}

unsafe extern "C-unwind" fn heed(info: &mut jpeg_common_struct, level: i32) {
    // SAFETY: as in `fail`.
    unsafe {
        if level < 0 && MISSING_PIXELS.contains(&((*info.err).msg_code as J_MESSAGE_CODE)) {
            fail(info);
        }
    }
}
