//! Directories of tags in TIFF and EXIF data.

use std::io::{Cursor, Read, Seek, SeekFrom};

use super::ImageError;
use super::budget::{reserve, resize};

const ORIENTATION: u16 = 274;

struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// The values if they fit here, else their offset.
    value: [u8; 8],
}

/// The first directory of a file.
pub struct Directory<R> {
    source: R,
    length: u64,
    entries: Vec<Entry>,
    /// Whether numbers are big-endian.
    pub big_endian: bool,
    big_tiff: bool,
}

impl<R: Read + Seek> Directory<R> {
    /// Reads the first directory of `length` bytes that begin with a TIFF header.
    pub fn first(mut source: R, length: u64) -> Result<Directory<R>, ImageError> {
        let mut head = [0; 16];
        source.read_exact(&mut head[..8])?;
        let big_endian = head[0] == b'M';
        let number = |bytes: &[u8]| number(bytes, big_endian);
        let big_tiff = number(&head[2..4]) == 43;
        if big_tiff {
            source.read_exact(&mut head[8..])?;
        }
        let start = if big_tiff { number(&head[8..16]) } else { number(&head[4..8]) };
        source.seek(SeekFrom::Start(start))?;
        let (head, room) = if big_tiff { (8, 8) } else { (2, 4) };
        let mut count = [0; 8];
        source.read_exact(&mut count[..head])?;
        let count = number(&count[..head]);
        if count > u64::from(u16::MAX) {
            return Err(ImageError::new("has an invalid directory of tags"));
        }
        let mut entries = Vec::new();
        reserve(&mut entries, count as usize)?;
        for _ in 0..count {
            let mut bytes = [0; 20];
            source.read_exact(&mut bytes[..4 + 2 * room])?;
            let mut value = [0; 8];
            value[..room].copy_from_slice(&bytes[4 + room..][..room]);
            let (tag, kind) = (number(&bytes[..2]) as u16, number(&bytes[2..4]) as u16);
            entries.push(Entry { tag, kind, count: number(&bytes[4..4 + room]), value });
        }
        Ok(Directory { source, length, entries, big_endian, big_tiff })
    }

    /// Integers of a tag, the first `most` of them; empty without the tag.
    pub fn numbers(&mut self, tag: u16, most: usize) -> Result<Vec<u64>, ImageError> {
        let Some(entry) = self.entries.iter().find(|entry| entry.tag == tag) else { return Ok(Vec::new()) };
        let size = match entry.kind {
            1 | 7 => 1,
            3 => 2,
            4 => 4,
            16 => 8,
            kind => return Err(ImageError(format!("has a tag {tag} of type {kind}, not of whole numbers"))),
        };
        let (room, bytes) = (if self.big_tiff { 8 } else { 4 }, entry.count.saturating_mul(size));
        let wanted = entry.count.min(most as u64) as usize * size as usize;
        let mut raw = entry.value.to_vec();
        if bytes > room {
            let start = number(&raw[..room as usize], self.big_endian);
            if start.saturating_add(bytes) > self.length {
                return Err(ImageError::cut_off());
            }
            resize(&mut raw, wanted)?;
            self.source.seek(SeekFrom::Start(start))?;
            self.source.read_exact(&mut raw)?;
        }
        let mut values = Vec::new();
        reserve(&mut values, wanted / size as usize)?;
        values.extend(raw[..wanted].chunks_exact(size as usize).map(|bytes| number(bytes, self.big_endian)));
        Ok(values)
    }

    /// First number of a tag, or a default.
    pub fn number(&mut self, tag: u16, absent: u64) -> Result<u64, ImageError> {
        Ok(self.numbers(tag, 1)?.first().copied().unwrap_or(absent))
    }

    /// Orientation of the image, from 1 (unchanged, the default) to 8.
    pub fn orientation(&mut self) -> u64 {
        self.number(ORIENTATION, 1).unwrap_or(1)
    }
}

/// Orientation in EXIF data; 1 if the data are not EXIF.
pub fn orientation(exif: &[u8]) -> u64 {
    if !exif.starts_with(b"II*\0") && !exif.starts_with(b"MM\0*") {
        return 1;
    }
    Directory::first(Cursor::new(exif), exif.len() as u64).map_or(1, |mut directory| directory.orientation())
}

fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let add = |number, &byte: &u8| number << 8 | u64::from(byte);
    if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
}
