//! Problems of lines: reason, location, and counts.

use super::Options;
use std::fmt;
use std::ops::ControlFlow;

/// Number of characters shown of a line.
const SHOWN: usize = 80;
/// Number of names of lost entries that are told apart.
const LOST: usize = 100;

/// Reason why something cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reason {
    /// Short name, for counting.
    pub kind: &'static str,
    pub text: String,
    /// Whether the whole file is unreadable: its other lines do not count.
    pub whole_file: bool,
}

impl Reason {
    #[cold]
    pub fn line(kind: &'static str, text: impl Into<String>) -> Self {
        Reason { kind, text: text.into(), whole_file: false }
    }

    #[cold]
    pub fn file(kind: &'static str, text: impl Into<String>) -> Self {
        Reason { kind, text: text.into(), whole_file: true }
    }
}

/// A problem and its location.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Name of the file.
    pub file: String,
    /// Line, from 1; 0 for the whole file.
    pub line: u64,
    /// The line, shortened if long.
    pub text: String,
    /// Short name of the reason.
    pub kind: &'static str,
    /// Full reason.
    pub reason: String,
}

impl Problem {
    /// The reason, with the line if there is one.
    pub fn what(&self) -> String {
        if self.line == 0 { self.reason.clone() } else { format!("{}: '{}'", self.reason, self.text) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what()),
            line => write!(f, "{}:{line}: {}", self.file, self.what()),
        }
    }
}

/// Skipped lines: counts by reason, and the first few in full; and entries that are not kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Skipped {
    /// The first [`Options::kept`] problems, in file order.
    pub first: Vec<Problem>,
    /// Number of skipped lines or files by reason, in order of appearance.
    pub counts: Vec<(&'static str, u64)>,
    /// Number of entries by name that the files hold and the rows cannot, in order of appearance; not problems.
    pub lost: Vec<(String, u64)>,
}

impl Skipped {
    /// Whether nothing was skipped.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    fn count(&mut self, kind: &'static str, n: u64) {
        match self.counts.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, count)) => *count += n,
            None => self.counts.push((kind, n)),
        }
    }

    fn lose(&mut self, name: &str, n: u64) {
        match self.lost.iter().position(|(known, _)| known == name) {
            Some(i) => self.lost[i].1 += n,
            // Names come from files: a limit bounds time and memory.
            None if self.lost.len() < LOST => self.lost.push((name.to_owned(), n)),
            None => self.lost[LOST - 1].1 += n,
        }
    }

    /// Adds the problems of a later part, whose first line is `lines` + 1.
    pub(crate) fn append(&mut self, other: Skipped, lines: u64, kept: usize) {
        for (kind, n) in other.counts {
            self.count(kind, n);
        }
        for (name, n) in other.lost {
            self.lose(&name, n);
        }
        let room = kept.saturating_sub(self.first.len());
        let shift = |mut p: Problem| {
            p.line += if p.line > 0 { lines } else { 0 };
            p
        };
        self.first.extend(other.first.into_iter().take(room).map(shift));
    }
}

/// Collects the problems of one part of a file.
pub(crate) struct Problems<'a> {
    file: &'a str,
    lenient: bool,
    kept: usize,
    pub skipped: Skipped,
    /// Whether the whole file is unreadable.
    pub whole_file: bool,
}

impl<'a> Problems<'a> {
    pub fn new(file: &'a str, options: &Options<'_>) -> Self {
        // The first problem is the error unless lenient.
        let kept = options.kept.max(1);
        Problems { file, lenient: options.lenient, kept, skipped: Skipped::default(), whole_file: false }
    }

    /// Counts an entry that the file holds and the rows cannot.
    pub fn lose(&mut self, name: &str) {
        self.skipped.lose(name, 1);
    }

    /// Records a problem; breaks if the rest of the file must not be read.
    #[cold]
    pub fn add(&mut self, line: u64, text: &[u8], reason: Reason) -> ControlFlow<()> {
        self.skipped.count(reason.kind, 1);
        self.whole_file |= reason.whole_file;
        if self.skipped.first.len() < self.kept {
            self.skipped.first.push(Problem {
                file: self.file.to_owned(),
                line: if reason.whole_file { 0 } else { line },
                text: shorten(text),
                kind: reason.kind,
                reason: reason.text,
            });
        }
        if self.lenient && !reason.whole_file { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// At most [`SHOWN`] characters; control characters are escaped, bytes that are not UTF-8 become U+FFFD.
pub(crate) fn shorten(text: &[u8]) -> String {
    // A character takes at most four bytes; one more shows whether the line is longer.
    let head = &text[..text.len().min(4 * (SHOWN + 1))];
    let head = String::from_utf8_lossy(head);
    let mut shown = String::new();
    for (i, c) in head.trim_end().chars().enumerate() {
        if i == SHOWN {
            shown.push('…');
            break;
        }
        match c {
            '\t' => shown.push(' '),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENIENT: Options<'_> = Options { images: None, classes: None, lenient: true, kept: 20, jobs: 1 };

    #[test]
    fn a_problem_names_file_line_reason_and_text() {
        let mut problems = Problems::new("labelTxt/P0003.txt", &LENIENT);
        let reason = Reason::line("not a number", "coordinate 'abc' is not a number");
        assert!(problems.add(17, b"abc 1 2 3\r", reason).is_continue());
        let text = "labelTxt/P0003.txt:17: coordinate 'abc' is not a number: 'abc 1 2 3'";
        assert_eq!(problems.skipped.first[0].to_string(), text);
        assert!(problems.add(18, b"", Reason::file("binary", "binary data")).is_break());
        assert_eq!(problems.skipped.first[1].to_string(), "labelTxt/P0003.txt: binary data");
        assert_eq!(problems.skipped.counts, [("not a number", 1), ("binary", 1)]);
    }

    #[test]
    fn long_text_is_cut_and_control_characters_are_shown() {
        assert_eq!(shorten(&[b'x'; 80]), "x".repeat(80));
        assert_eq!(shorten(&[b'x'; 81]), format!("{}…", "x".repeat(80)));
        assert_eq!(shorten("é".repeat(1000).as_bytes()), format!("{}…", "é".repeat(80)));
        assert_eq!(shorten(b"a\0\tb\xff"), "a\\u{0} b\u{fffd}");
    }

    #[test]
    fn parts_add_up() {
        let mut all = Skipped::default();
        for part in 0..3 {
            let mut problems = Problems::new("f", &LENIENT);
            for line in 1..=10 {
                let _ = problems.add(line, b"", Reason::line("k", "r"));
            }
            all.append(problems.skipped, part * 10, LENIENT.kept);
        }
        assert_eq!(all.counts, [("k", 30)]);
        assert_eq!(all.first.iter().map(|p| p.line).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    }
}
