//! Parsed rows of numbers, and joining parts in order.

use super::fields::finite;
use super::names::{Lookup, Names};
use super::problem::{Problem, Reason, Skipped};
use super::{Annotations, Detections, Options};
use crate::geom::{Quad, hbox_to_quad, rbox_to_quad};

/// Names known before reading, and whether new ones are allowed.
pub(crate) struct Known {
    pub images: Names,
    /// Detections may be on any image.
    pub any_image: bool,
    pub classes: Names,
}

impl Known {
    pub fn new(options: &Options) -> Self {
        Known {
            images: Names::new(options.images.unwrap_or_default()),
            any_image: options.images.is_none(),
            classes: Names::new(options.classes.unwrap_or_default()),
        }
    }
}

/// The rest of a row beside quad, image and label: an [`Object`], or the score of a detection.
pub(crate) trait Value: Copy + Send {
    /// Shifts the line number by the number of lines before the part.
    fn after(self, _lines: u64) -> Self {
        self
    }
}

impl Value for f64 {}

/// An annotated object.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    difficult: u8,
    line: u32,
}

impl Value for Object {
    fn after(self, lines: u64) -> Self {
        Object { line: later(self.line, lines), ..self }
    }
}

/// A detection in a format that has annotations too.
#[derive(Clone, Copy)]
pub(crate) struct Scored {
    pub score: f64,
    pub line: u32,
}

impl Value for Scored {
    fn after(self, lines: u64) -> Self {
        Scored { line: later(self.line, lines), ..self }
    }
}

/// Shifts a line number.
pub(crate) fn later(line: u32, lines: u64) -> u32 {
    line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX))
}

/// The shape of an annotated object, as written.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Corners(Quad),
    /// `cx, cy, w, h, angle`.
    Rotated([f64; 5]),
    /// `x1, y1, x2, y2`.
    Upright([f64; 4]),
}

/// Content of one part of a file.
pub(crate) struct Rows<'a, V> {
    known: &'a Known,
    pub images: Lookup<'a>,
    pub classes: Lookup<'a>,
    quads: Vec<Quad>,
    /// Rboxes as written, of the rows that have them.
    rboxes: Vec<[f64; 5]>,
    upright: usize,
    values: Vec<V>,
    image: Vec<u32>,
    label: Vec<u32>,
}

impl<'a, V: Value> Rows<'a, V> {
    pub fn new(known: &'a Known) -> Self {
        Rows {
            known,
            images: Lookup::new(&known.images),
            classes: Lookup::new(&known.classes),
            quads: Vec::new(),
            rboxes: Vec::new(),
            upright: 0,
            values: Vec::new(),
            image: Vec::new(),
            label: Vec::new(),
        }
    }

    /// Number of an annotated image; a new one for a new image.
    #[inline]
    pub fn annotated(&mut self, image: &[u8]) -> Result<u32, Reason> {
        self.images.find_or_add(image, "image name")
    }

    /// Number of the image of a detection.
    #[inline]
    pub fn detected(&mut self, image: &[u8]) -> Result<u32, Reason> {
        if self.known.any_image {
            return self.images.find_or_add(image, "image name");
        }
        self.images.find(image).ok_or_else(|| self.images.unknown_image(image))
    }

    /// Number of a class; a new one for a new class.
    #[inline]
    pub fn class(&mut self, class: &[u8]) -> Result<u32, Reason> {
        self.classes.find_or_add(class, "class name")
    }

    #[inline]
    pub fn push(&mut self, quad: Quad, value: V, image: u32, label: u32) {
        self.quads.push(quad);
        self.values.push(value);
        self.image.push(image);
        self.label.push(label);
    }

    pub fn len(&self) -> usize {
        self.quads.len()
    }
}

impl Rows<'_, Object> {
    /// Adds an object on a line of this part.
    #[inline]
    pub fn push_object(
        &mut self,
        line: u64,
        image: &[u8],
        class: &[u8],
        quad: Quad,
        difficult: u8,
    ) -> Result<(), Reason> {
        let (image, label) = (self.annotated(image)?, self.class(class)?);
        self.push(quad, Object { difficult, line: later(0, line) }, image, label);
        Ok(())
    }

    /// Adds an object of any shape, by its corners; `rboxes` and `upright` describe its written form.
    pub fn push_shape(
        &mut self,
        line: u64,
        image: &[u8],
        class: &[u8],
        shape: Shape,
        difficult: u8,
    ) -> Result<(), Reason> {
        match shape {
            Shape::Corners(quad) => self.push_object(line, image, class, quad, difficult)?,
            Shape::Rotated(rbox) => {
                self.push_object(line, image, class, rbox_to_quad(&rbox), difficult)?;
                self.rboxes.push(rbox);
            }
            Shape::Upright(hbox) => {
                ordered(&hbox)?;
                self.push_object(line, image, class, hbox_to_quad(hbox), difficult)?;
                self.upright += 1;
            }
        }
        Ok(())
    }
}

/// Error for a horizontal box whose maximum is below its minimum: most likely these are width and height.
pub(crate) fn ordered(&[x0, y0, x1, y1]: &[f64; 4]) -> Result<(), Reason> {
    for (axis, min, max) in [("x", x0, x1), ("y", y0, y1)] {
        if max < min {
            let text = format!("{axis}max {max} is below {axis}min {min}: are the last two width and height?");
            return Err(Reason::line("max below min", text));
        }
    }
    Ok(())
}

/// Error for a class whose name is a number in a format with optional difficulty: most likely the class is missing.
pub(crate) fn check_class(class: &[u8], difficulty: &[u8]) -> Result<(), Reason> {
    if difficulty.is_empty() && finite(class, "").is_ok() {
        let text = format!("class missing before '{}'", String::from_utf8_lossy(class));
        return Err(Reason::line("wrong number of columns", text));
    }
    Ok(())
}

/// Joined parts.
pub(crate) struct Merged<V> {
    images: Names,
    classes: Names,
    quads: Vec<Quad>,
    rboxes: Vec<[f64; 5]>,
    upright: usize,
    values: Vec<V>,
    image: Vec<u32>,
    label: Vec<u32>,
    pub skipped: Skipped,
}

impl<V: Value> Merged<V> {
    pub fn new(known: &Known, rows: usize) -> Self {
        Merged {
            images: known.images.clone(),
            classes: known.classes.clone(),
            quads: Vec::with_capacity(rows),
            rboxes: Vec::new(),
            upright: 0,
            values: Vec::with_capacity(rows),
            image: Vec::with_capacity(rows),
            label: Vec::with_capacity(rows),
            skipped: Skipped::default(),
        }
    }

    /// Adds a part that begins after `lines` lines of its file.
    pub fn append(&mut self, part: Rows<'_, V>, lines: u64) {
        self.quads.extend_from_slice(&part.quads);
        self.rboxes.extend_from_slice(&part.rboxes);
        self.upright += part.upright;
        self.values.extend(part.values.iter().map(|value| value.after(lines)));
        let images = part.known.images.list.len();
        append_numbers(&mut self.image, &part.image, images, part.images.new, &mut self.images);
        let classes = part.known.classes.list.len();
        append_numbers(&mut self.label, &part.label, classes, part.classes.new, &mut self.classes);
    }
}

/// Appends the numbers of a part; those from `known` on are mapped to the numbers of their names in `all`.
fn append_numbers(out: &mut Vec<u32>, numbers: &[u32], known: usize, new: Names, all: &mut Names) {
    if new.list.is_empty() {
        return out.extend_from_slice(numbers);
    }
    let new: Vec<u32> = new.list.into_iter().map(|name| all.intern(name)).collect();
    out.extend(numbers.iter().map(|&n| if (n as usize) < known { n } else { new[n as usize - known] }));
}

impl From<Merged<Object>> for Annotations {
    fn from(all: Merged<Object>) -> Self {
        let objects = all.quads.len();
        Annotations {
            images: all.images.list,
            classes: all.classes.list,
            rboxes: if all.rboxes.len() == objects { all.rboxes } else { Vec::new() },
            upright: objects > 0 && all.upright == objects,
            quads: all.quads,
            image: all.image,
            label: all.label,
            difficult: all.values.iter().map(|value| value.difficult).collect(),
            line: all.values.iter().map(|value| value.line).collect(),
            skipped: all.skipped,
        }
    }
}

impl From<Merged<f64>> for Detections {
    fn from(all: Merged<f64>) -> Self {
        Detections {
            images: all.images.list,
            classes: all.classes.list,
            quads: all.quads,
            scores: all.values,
            image: all.image,
            label: all.label,
            line: Vec::new(),
            skipped: all.skipped,
        }
    }
}

impl From<Merged<Scored>> for Detections {
    fn from(all: Merged<Scored>) -> Self {
        Detections {
            images: all.images.list,
            classes: all.classes.list,
            quads: all.quads,
            scores: all.values.iter().map(|value| value.score).collect(),
            image: all.image,
            label: all.label,
            line: all.values.iter().map(|value| value.line).collect(),
            skipped: all.skipped,
        }
    }
}

/// Result of reading, or the first problem.
pub(crate) type Outcome<V> = Result<Merged<V>, Problem>;
