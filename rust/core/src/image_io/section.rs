//! A section of a file, as a reader.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

/// A range of bytes of a file; several sections of one file can be read alternately.
pub struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Section {
    pub fn new(file: &Arc<File>, at: u64, length: u64) -> Section {
        Section { file: file.clone(), at, end: at.saturating_add(length) }
    }
}

impl Read for Section {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.end - self.at).map_or(out.len(), |left| left.min(out.len()));
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.at))?;
        let read = file.read(&mut out[..length])?;
        self.at += read as u64;
        Ok(read)
    }
}
