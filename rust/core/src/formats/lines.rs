//! Annotations of many images in one file.
//!
//! Flat: `image x1 y1 ... x4 y4 class difficulty`, one object per line (as in a form of DIOR-R). GGHL: one image per
//! line, its path and then each object as `xmin,ymin,xmax,ymax,class,x1,y1,...,x4,y4,ratio,angle`; ratio and angle may
//! be missing, and the class is a number whose digits are its name (as HRSC2016 and SSDD are distributed).

use super::chunks::{PIECE, WHOLE, each_line, read as read_pieces};
use super::fields::{Fields, coordinate, difficulty, explain, finite, trim, wrong_columns};
use super::names::{checked, stem};
use super::problem::Reason;
use super::rows::{Known, Object, Rows, check_class};
use super::{Annotations, Options, Problem, Source};
use crate::geom::Quad;
use std::collections::HashMap;

/// Reads files of one object per line.
///
/// # Errors
/// Returns the first problem in source order, unless lenient.
pub fn read_flat(sources: &[Source<'_>], options: &Options<'_>) -> Result<Annotations, Problem> {
    let parse = |rows: &mut Rows<'_, Object>, number: u64, line: &[u8]| {
        const MEANT: &str = "10 or 11: image x1 y1 x2 y2 x3 y3 x4 y4 class difficulty";
        let (image, quad, class, difficult) = flat_columns(line).map_err(|e| explain(line, 10..=11, MEANT, e))?;
        rows.push_object(number, image, class, quad, difficult)
    };
    let known = Known::new(options);
    let all = read_pieces(sources, PIECE, &known, options, |rows, _, text, problems| {
        each_line(text, problems, |number, line| parse(rows, number, line))
    });
    all.map(Annotations::from)
}

type FlatColumns<'a> = (&'a [u8], Quad, &'a [u8], u8);

fn flat_columns(line: &[u8]) -> Result<FlatColumns<'_>, Reason> {
    let mut fields = Fields::new(line);
    let (image, quad) = (fields.word(), fields.coordinates()?);
    let (class, difficult) = (fields.word(), fields.word());
    if class.is_empty() || !fields.word().is_empty() {
        return Err(Reason::line("wrong number of columns", "wrong number of columns"));
    }
    check_class(class, difficult)?;
    Ok((image, quad, class, difficulty(difficult)?))
}

/// Reads files of one image per line.
///
/// # Errors
/// Same as [`read_flat`]; an image on two lines is a problem.
pub fn read_gghl(sources: &[Source<'_>], options: &Options<'_>) -> Result<Annotations, Problem> {
    let known = Known::new(options);
    // Not cut into pieces: these files are small, and an image that comes twice is seen at once.
    let all = read_pieces(sources, WHOLE, &known, options, |rows, _, text, problems| {
        let mut seen = HashMap::new();
        each_line(text, problems, |number, line| gghl_line(rows, &mut seen, number, line))
    });
    all.map(Annotations::from)
}

fn gghl_line(rows: &mut Rows<'_, Object>, seen: &mut HashMap<String, u64>, n: u64, line: &[u8]) -> Result<(), Reason> {
    let mut fields = Fields::new(line);
    let path = fields.word();
    if path.is_empty() {
        return Ok(());
    }
    if path.contains(&b',') {
        return Err(Reason::line("wrong number of columns", "no path of an image before the first object"));
    }
    let path = checked(path, "path of the image")?;
    let image = stem(&path);
    let objects: Vec<_> = std::iter::from_fn(|| Some(fields.word()).filter(|w| !w.is_empty())).collect();
    let objects = objects.into_iter().map(gghl_object).collect::<Result<Vec<_>, _>>()?;
    if let Some(first) = seen.insert(image.to_owned(), n) {
        seen.insert(image.to_owned(), first);
        return Err(Reason::line("duplicate image", format!("image '{image}' comes twice, first on line {first}")));
    }
    rows.annotated(image.as_bytes())?; // also if it has no objects
    for (class, quad) in objects {
        rows.push_object(n, image.as_bytes(), class, quad, 0)?;
    }
    Ok(())
}

fn gghl_object(object: &[u8]) -> Result<(&[u8], Quad), Reason> {
    let fields: Vec<&[u8]> = object.split(|&b| b == b',').collect();
    if !(13..=15).contains(&fields.len()) {
        return Err(wrong_columns(
            fields.len(),
            "13 to 15 separated by commas: xmin,ymin,xmax,ymax,class,x1,y1,...,x4,y4,ratio,angle",
        ));
    }
    for field in &fields[..4] {
        coordinate(field)?;
    }
    let mut quad = [0.0; 8];
    for (value, field) in quad.iter_mut().zip(&fields[5..]) {
        *value = coordinate(field)?;
    }
    for (field, what) in fields[13..].iter().zip(["ratio", "angle"]) {
        finite(trim(field), what)?;
    }
    Ok((trim(fields[4]), quad))
}
