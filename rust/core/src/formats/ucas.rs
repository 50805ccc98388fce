//! UCAS-AOD: one file per image, `x1 y1 ... x4 y4 theta x y width height` per line.
//!
//! The dataset has a folder `CAR` and a folder `PLANE`; the class is the folder's name in lower case. Files merged for
//! the usual splits have the class in the first column: `car x1 y1 ...`.

use super::chunks::{PIECE, each_line, read as read_pieces};
use super::dota::one_image_a_source;
use super::fields::{Fields, explain, finite};
use super::problem::Reason;
use super::rows::{Object, Rows};
use super::{Annotations, Options, Problem, Source};

const MEANT: &str = "13, or 14 with the class in front: x1 y1 x2 y2 x3 y3 x4 y4 theta x y width height";

/// Reads the annotations of one image per source.
///
/// # Errors
/// Returns the first problem in source order, unless lenient.
pub fn read(sources: &[Source<'_>], options: &Options<'_>) -> Result<Annotations, Problem> {
    let known = one_image_a_source(sources, options);
    let parse = |rows: &mut Rows<'_, Object>, number: u64, source: &Source<'_>, folder: &str, line: &[u8]| {
        let mut fields = Fields::new(line);
        let class = match fields.clone().word() {
            word if finite(word, "").is_ok() => folder.as_bytes(),
            _ => fields.word(),
        };
        let values = fields.coordinates::<13>().and_then(|values| match fields.word() {
            b"" => Ok(values),
            _ => Err(Reason::line("wrong number of columns", "wrong number of columns")),
        });
        let [quad @ .., _, _, _, _, _] = values.map_err(|reason| explain(line, 13..=14, MEANT, reason))?;
        rows.push_object(number, source.subject.as_bytes(), class, quad, 0)
    };
    let all = read_pieces(sources, PIECE, &known, options, |rows, source, text, problems| {
        let folder = folder_of(&source.name).to_lowercase();
        each_line(text, problems, |number, line| parse(rows, number, source, &folder, line))
    });
    all.map(Annotations::from)
}

/// Name of the folder of a file.
fn folder_of(path: &str) -> &str {
    path.rsplit(['/', '\\']).nth(1).unwrap_or_default()
}
