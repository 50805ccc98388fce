//! Rows of numbers as they are parsed, and putting the parts together in order.

use super::fields::finite;
use super::names::{Lookup, Names, checked};
use super::problem::{Problem, Reason, Skipped};
use super::{Annotations, Detections, Options};
use crate::geom::Quad;
use std::collections::BTreeMap;

/// The names known before reading, and whether others may come.
pub(crate) struct Known {
    pub images: Names,
    /// Detections may be on any image.
    pub any_image: bool,
    pub classes: Names,
    pub any_class: bool,
}

impl Known {
    pub fn new(options: &Options) -> Self {
        Known {
            images: Names::new(options.images.unwrap_or_default()),
            any_image: options.images.is_none(),
            classes: Names::new(options.classes.unwrap_or_default()),
            any_class: options.classes.is_none(),
        }
    }
}

/// What one part of a file holds; `V` is the difficulty of an object or the score of a detection.
pub(crate) struct Rows<'a, V> {
    known: &'a Known,
    pub images: Lookup<'a>,
    pub classes: Lookup<'a>,
    quads: Vec<Quad>,
    values: Vec<V>,
    image: Vec<u32>,
    label: Vec<u32>,
    other_classes: BTreeMap<Vec<u8>, u64>,
}

impl<'a, V> Rows<'a, V> {
    pub fn new(known: &'a Known) -> Self {
        Rows {
            known,
            images: Lookup::new(&known.images),
            classes: Lookup::new(&known.classes),
            quads: Vec::new(),
            values: Vec::new(),
            image: Vec::new(),
            label: Vec::new(),
            other_classes: BTreeMap::new(),
        }
    }

    /// The number of an annotated image, a new one if it is new.
    #[inline]
    pub fn annotated(&mut self, image: &[u8]) -> Result<u32, Reason> {
        self.images.find_or_add(image, "image name")
    }

    /// The number of the image of a detection.
    #[inline]
    pub fn detected(&mut self, image: &[u8]) -> Result<u32, Reason> {
        if self.known.any_image {
            return self.images.find_or_add(image, "image name");
        }
        self.images.find(image).ok_or_else(|| self.images.unknown_image(image))
    }

    /// The number of a class; `None`, and counted, if it is not wanted.
    #[inline]
    pub fn class(&mut self, class: &[u8]) -> Result<Option<u32>, Reason> {
        if self.known.any_class {
            return self.classes.find_or_add(class, "class name").map(Some);
        }
        let found = self.classes.find(class);
        if found.is_none() {
            match self.other_classes.get_mut(class) {
                Some(count) => *count += 1,
                None => drop(self.other_classes.insert(checked(class, "class name")?.into_bytes(), 1)),
            }
        }
        Ok(found)
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

impl Rows<'_, u8> {
    /// Adds an object, unless its class is not wanted.
    #[inline]
    pub fn push_object(&mut self, image: &[u8], class: &[u8], quad: Quad, difficult: u8) -> Result<(), Reason> {
        let image = self.annotated(image)?;
        if let Some(label) = self.class(class)? {
            self.push(quad, difficult, image, label);
        }
        Ok(())
    }
}

/// A class whose name is a number, where there may be no difficulty: most likely the class is missing.
pub(crate) fn check_class(class: &[u8], difficulty: &[u8]) -> Result<(), Reason> {
    if difficulty.is_empty() && finite(class, "").is_ok() {
        let text = format!("class missing before '{}'", String::from_utf8_lossy(class));
        return Err(Reason::line("wrong number of columns", text));
    }
    Ok(())
}

/// All parts together.
pub(crate) struct Merged<V> {
    images: Names,
    classes: Names,
    quads: Vec<Quad>,
    values: Vec<V>,
    image: Vec<u32>,
    label: Vec<u32>,
    other_classes: BTreeMap<Vec<u8>, u64>,
    pub skipped: Skipped,
}

impl<V: Copy> Merged<V> {
    pub fn new(known: &Known, rows: usize) -> Self {
        Merged {
            images: known.images.clone(),
            classes: known.classes.clone(),
            quads: Vec::with_capacity(rows),
            values: Vec::with_capacity(rows),
            image: Vec::with_capacity(rows),
            label: Vec::with_capacity(rows),
            other_classes: BTreeMap::new(),
            skipped: Skipped::default(),
        }
    }

    pub fn append(&mut self, part: Rows<'_, V>) {
        self.quads.extend_from_slice(&part.quads);
        self.values.extend_from_slice(&part.values);
        let images = part.known.images.list.len();
        append_numbers(&mut self.image, &part.image, images, part.images.new, &mut self.images);
        let classes = part.known.classes.list.len();
        append_numbers(&mut self.label, &part.label, classes, part.classes.new, &mut self.classes);
        for (class, count) in part.other_classes {
            *self.other_classes.entry(class).or_default() += count;
        }
    }
}

/// Appends the numbers of a part, those from `known` on changed to what their names are in `all`.
fn append_numbers(out: &mut Vec<u32>, numbers: &[u32], known: usize, new: Names, all: &mut Names) {
    if new.list.is_empty() {
        return out.extend_from_slice(numbers);
    }
    let new: Vec<u32> = new.list.into_iter().map(|name| all.intern(name)).collect();
    out.extend(numbers.iter().map(|&n| if (n as usize) < known { n } else { new[n as usize - known] }));
}

impl From<Merged<u8>> for Annotations {
    fn from(all: Merged<u8>) -> Self {
        let name = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let mut other_classes: Vec<_> = all.other_classes.into_iter().map(|(class, n)| (name(class), n)).collect();
        other_classes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        Annotations {
            images: all.images.list,
            classes: all.classes.list,
            quads: all.quads,
            image: all.image,
            label: all.label,
            difficult: all.values,
            other_classes,
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
            skipped: all.skipped,
        }
    }
}

/// What reading gives, or the first problem.
pub(crate) type Outcome<V> = Result<Merged<V>, Problem>;
