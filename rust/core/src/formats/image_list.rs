//! Lists of images: one name per line.

use super::chunks::{each_line, whole};
use super::fields::trim;
use super::names::{checked, stem};
use super::problem::{Problem, Problems};
use super::{Data, Options, Source};
use std::collections::HashSet;

/// Names of images in the order of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageList {
    /// Unique names, without paths and suffixes of image files.
    pub names: Vec<String>,
    /// Line of each name, from 1.
    pub lines: Vec<u64>,
    /// Number of repeated names, which were dropped.
    pub duplicates: u64,
}

/// Reads a list of images; blank lines are skipped.
///
/// # Errors
/// If the file cannot be read or is not UTF-8 text.
pub fn read_names(name: &str, data: &Data<'_>) -> Result<ImageList, Problem> {
    let source = Source { name: name.to_owned(), subject: String::new(), data: data.clone() };
    let mut problems = Problems::new(&source.name, &Options::default());
    let (mut list, mut seen) = (ImageList::default(), HashSet::new());
    match whole(&source.data) {
        Ok(text) => {
            each_line(&text, &mut problems, |number, line| {
                let line = checked(trim(line), "image name")?;
                let name = checked(stem(&line).as_bytes(), "image name")?;
                if seen.insert(name.clone()) {
                    list.names.push(name);
                    list.lines.push(number);
                } else {
                    list.duplicates += 1;
                }
                Ok(())
            });
        }
        Err(reason) => {
            let _ = problems.add(0, b"", reason);
        }
    }
    match problems.skipped.first.pop() {
        Some(problem) => Err(problem),
        None => Ok(list),
    }
}
