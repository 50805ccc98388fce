//! Files in pieces that end at line ends, parsed in parallel and joined in order.

use super::fields::trim;
use super::problem::{Problems, Reason, Skipped};
use super::rows::{Known, Merged, Outcome, Rows, Value};
use super::{Data, Options, Source};
use crate::threads;
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Size of a piece in bytes: small enough to balance threads, large enough to cost nothing.
pub(crate) const PIECE: u64 = 1 << 19;
/// For formats whose files are not cut.
pub(crate) const WHOLE: u64 = u64::MAX;

/// Rows of a piece, its number of lines, and its problems.
struct Part<'a, V> {
    rows: Rows<'a, V>,
    lines: u64,
    skipped: Skipped,
    whole_file: bool,
}

/// Parses every source in pieces of about `piece` bytes. `work` parses one piece, line ends included, and returns its
/// number of lines.
pub(crate) fn read<V, W>(sources: &[Source<'_>], piece: u64, known: &Known, options: &Options, work: W) -> Outcome<V>
where
    V: Value,
    W: Fn(&mut Rows<'_, V>, &Source<'_>, &[u8], &mut Problems<'_>) -> u64 + Sync,
{
    let sizes = threads::map(sources.len(), options.jobs, |i| size(&sources[i].data));
    let mut tasks: Vec<(usize, Range<u64>)> = Vec::new();
    for (i, size) in sizes.iter().enumerate() {
        let size = *size.as_ref().unwrap_or(&0);
        tasks.push((i, 0..size.min(piece)));
        let starts = (1..).map(|k| piece.saturating_mul(k)).take_while(|&start| start < size);
        tasks.extend(starts.map(|start| (i, start..size.min(start.saturating_add(piece)))));
    }
    let parts = threads::map(tasks.len(), options.jobs, |t| {
        let (i, range) = tasks[t].clone();
        let mut rows = Rows::new(known);
        let mut problems = Problems::new(&sources[i].name, options);
        let text = match &sizes[i] {
            Ok(size) => piece_of(&sources[i].data, &range, *size).map_err(|e| unreadable(&e)),
            Err(reason) => Err(reason.clone()),
        };
        let text = text.and_then(|text| if range.start == 0 { check_head(&text).map(|()| text) } else { Ok(text) });
        let lines = match text {
            Ok(text) => work(&mut rows, &sources[i], without_bom(&text, range.start), &mut problems),
            Err(reason) => {
                let _ = problems.add(0, b"", reason);
                0
            }
        };
        Part { rows, lines, whole_file: problems.whole_file, skipped: problems.skipped }
    });
    merge(known, options, &tasks, parts)
}

fn merge<V: Value>(known: &Known, options: &Options, tasks: &[(usize, Range<u64>)], parts: Vec<Part<V>>) -> Outcome<V> {
    let mut all = Merged::new(known, parts.iter().map(|p| p.rows.len()).sum());
    let mut lines = 0; // of this file, before this part
    let mut unreadable = None;
    for ((i, range), part) in tasks.iter().zip(parts) {
        if range.start == 0 {
            lines = 0;
        }
        if unreadable == Some(i) {
            continue; // its first piece showed that it is no text at all
        }
        all.skipped.append(part.skipped, lines, options.kept);
        if !options.lenient && !all.skipped.is_empty() {
            return Err(all.skipped.first.swap_remove(0));
        }
        if part.whole_file {
            unreadable = Some(i);
            continue;
        }
        all.append(part.rows, lines);
        lines += part.lines;
    }
    Ok(all)
}

/// Calls `parse` on each line, without its end, and ignores its result for blank lines. Returns the number of lines.
#[inline(always)]
pub(crate) fn each_line<F>(text: &[u8], problems: &mut Problems<'_>, mut parse: F) -> u64
where
    F: FnMut(u64, &[u8]) -> Result<(), Reason>,
{
    let (mut rest, mut number) = (text, 0);
    while !rest.is_empty() {
        let end = newline(rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = &rest[rest.len().min(end + 1)..];
        number += 1;
        if let Err(reason) = parse(number, line)
            && !trim(line).is_empty()
            && problems.add(number, trim(line), reason).is_break()
        {
            break;
        }
    }
    number
}

/// Finds the first line feed, eight bytes at a time.
#[inline(always)]
fn newline(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, tail) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let x = u64::from_le_bytes(*word) ^ (ONES * b'\n' as u64);
        let zero_bytes = x.wrapping_sub(ONES) & !x & (ONES << 7);
        if zero_bytes != 0 {
            return Some(8 * i + zero_bytes.trailing_zeros() as usize / 8);
        }
    }
    tail.iter().position(|&b| b == b'\n').map(|i| 8 * words.len() + i)
}

/// Size of a regular file in bytes; anything else (a folder, a pipe that would block) is an error.
fn size(data: &Data<'_>) -> Result<u64, Reason> {
    match data {
        Data::Bytes(bytes) => Ok(bytes.len() as u64),
        Data::Path(path) => match fs::metadata(path) {
            Ok(about) if about.is_file() => Ok(about.len()),
            Ok(about) if about.is_dir() => Err(Reason::file("unreadable", "is a folder, not a file")),
            Ok(_) => Err(Reason::file("unreadable", "is not a regular file")),
            Err(error) => Err(unreadable(&error)),
        },
    }
}

fn unreadable(error: &io::Error) -> Reason {
    Reason::file("unreadable", format!("cannot be read: {error}"))
}

/// All bytes of a source, checked to be text, without byte-order mark.
pub(crate) fn whole<'a>(data: &'a Data<'_>) -> Result<Cow<'a, [u8]>, Reason> {
    let text = piece_of(data, &(0..size(data)?), 0).map_err(|e| unreadable(&e))?;
    check_head(&text)?;
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(without_bom(text, 0)),
        Cow::Owned(text) => Cow::Owned(without_bom(&text, 0).to_vec()),
    })
}

/// Lines that start in `range` of a source of `size` bytes.
fn piece_of<'a>(data: &'a Data<'_>, range: &Range<u64>, size: u64) -> io::Result<Cow<'a, [u8]>> {
    match data {
        Data::Path(path) if range.start == 0 && range.end >= size => fs::read(path).map(Cow::Owned),
        Data::Path(path) => piece_of_file(path, range).map(Cow::Owned),
        Data::Bytes(bytes) => {
            let (start, end) = (range.start as usize, range.end as usize);
            // A line starts after the line feed before it; that may be the byte just before the range.
            let first = if start == 0 { Some(0) } else { newline(&bytes[start - 1..end]).map(|i| start + i) };
            let last = newline(&bytes[end.saturating_sub(1)..]).map_or(bytes.len(), |i| end.saturating_sub(1) + i + 1);
            Ok(Cow::Borrowed(first.map_or(&[][..], |first| &bytes[first.min(last)..last])))
        }
    }
}

fn piece_of_file(path: &Path, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let before = range.start.saturating_sub(1);
    file.seek(SeekFrom::Start(before))?;
    let mut text = Vec::with_capacity((range.end - before) as usize + 4096);
    file.by_ref().take(range.end - before).read_to_end(&mut text)?;
    if range.start > 0 {
        match newline(&text) {
            Some(i) => drop(text.drain(..=i)),
            None => return Ok(Vec::new()), // the middle of a line that starts in an earlier piece
        }
        if text.is_empty() {
            return Ok(text);
        }
    }
    // The last line may end in a later piece.
    while text.last() != Some(&b'\n') {
        let length = text.len();
        if file.by_ref().take(4096).read_to_end(&mut text)? == 0 {
            break;
        }
        if let Some(i) = newline(&text[length..]) {
            text.truncate(length + i + 1);
        }
    }
    Ok(text)
}

fn without_bom(text: &[u8], start: u64) -> &[u8] {
    if start == 0 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text }
}

/// Recognises data that is not text in a byte encoding by its first bytes.
fn check_head(text: &[u8]) -> Result<(), Reason> {
    let head = &text[..text.len().min(4096)];
    let zeros = |odd| head.iter().skip(odd).step_by(2).filter(|&&b| b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let utf16 = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    if utf16 || (even.max(odd) * 3 > head.len() && even.min(odd) == 0) {
        return Err(Reason::file("UTF-16", "is UTF-16 text: save it as UTF-8"));
    }
    if even + odd > 0 {
        return Err(Reason::file("binary data", "is binary data (NUL bytes), not text"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn heads_tell_what_is_no_text() {
        for (head, kind) in [
            (&b"\xff\xfe1\0"[..], Some("UTF-16")),
            (b"\xfe\xff\x001", Some("UTF-16")),
            (b"1\x00 \x002\x00", Some("UTF-16")),
            (b"\x001\x00 \x002", Some("UTF-16")),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Some("binary data")),
            (b"", None),
            (b"1 2 3", None),
            (b"\xef\xbb\xbf1", None),
        ] {
            assert_eq!(check_head(head).err().map(|r| r.kind), kind, "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_all_the_lines_in_order(text in "[ab\n]{0,60}", piece in 1u64..70) {
            let bytes = text.as_bytes();
            let path = std::env::temp_dir().join(format!("rotx_pieces_{}_{piece}", std::process::id()));
            fs::write(&path, bytes).expect("written");
            for data in [Data::Bytes(bytes), Data::Path(path.clone())] {
                let size = size(&data).expect("a file");
                let mut lines = Vec::new();
                for start in (0..size.max(1)).step_by(piece as usize) {
                    let range = start..size.min(start + piece);
                    let text = piece_of(&data, &range, size).expect("read").into_owned();
                    prop_assert!(text.is_empty() || text.ends_with(b"\n") || bytes.ends_with(&text));
                    each_line(&text, &mut Problems::new("", &Options::default()), |_, line| {
                        lines.push(String::from_utf8_lossy(line).into_owned());
                        Ok(())
                    });
                }
                prop_assert_eq!(lines, text.lines().map(str::to_owned).collect::<Vec<_>>());
            }
            fs::remove_file(&path).expect("removed");
        }

        #[test]
        fn the_first_line_feed(text in "[a-c\n\u{80}\u{8a}]{0,40}") {
            prop_assert_eq!(newline(text.as_bytes()), text.find('\n'));
        }
    }
}
