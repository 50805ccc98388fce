//! Numbered names of images and classes.

use super::problem::{Reason, shorten};
use std::collections::HashMap;

/// Suffixes of image files, lower case.
const IMAGE_SUFFIXES: [&str; 6] = [".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"];

/// Unique names, numbered in order of appearance.
#[derive(Clone, Default)]
pub(crate) struct Names {
    pub list: Vec<String>,
    numbers: HashMap<Box<[u8]>, u32>,
}

impl Names {
    pub fn new(names: &[String]) -> Self {
        let mut all = Names::default();
        for name in names {
            all.intern(name.clone());
        }
        all
    }

    pub fn find(&self, name: &[u8]) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// Number of the name; a new one for a new name.
    pub fn intern(&mut self, name: String) -> u32 {
        if let Some(number) = self.find(name.as_bytes()) {
            return number;
        }
        let number = self.list.len() as u32;
        self.numbers.insert(name.as_bytes().into(), number);
        self.list.push(name);
        number
    }
}

/// Known names, followed by new ones found while a part of a file is read.
pub(crate) struct Lookup<'a> {
    known: &'a Names,
    pub new: Names,
    /// Last name found: names repeat on consecutive lines.
    last: u32,
}

impl<'a> Lookup<'a> {
    pub fn new(known: &'a Names) -> Self {
        Lookup { known, new: Names::default(), last: 0 }
    }

    fn name(&self, number: u32) -> Option<&String> {
        let i = number as usize;
        self.known.list.get(i).or_else(|| self.new.list.get(i - self.known.list.len()))
    }

    #[inline]
    pub fn find(&mut self, name: &[u8]) -> Option<u32> {
        if self.name(self.last).is_some_and(|last| last.as_bytes() == name) {
            return Some(self.last);
        }
        let new = || self.new.find(name).map(|n| n + self.known.list.len() as u32);
        let found = self.known.find(name).or_else(new)?;
        self.last = found;
        Some(found)
    }

    /// Number of the name; a new one for a new name.
    pub fn find_or_add(&mut self, name: &[u8], what: &str) -> Result<u32, Reason> {
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        self.last = self.known.list.len() as u32 + self.new.intern(checked(name, what)?);
        Ok(self.last)
    }

    /// Error for an unknown `image`, with a hint.
    #[cold]
    pub fn unknown_image(&self, image: &[u8]) -> Reason {
        let text = match checked(image, "image name") {
            Err(reason) => return reason,
            Ok(name) if whole_image(&name).is_some() => format!(
                "image '{name}' is not in the annotations; this is the name of a patch: merge the patches' \
                 results into whole images first, by rotx merge"
            ),
            Ok(name) => match stem(&name) {
                known if known.len() < name.len() && self.known.find(known.as_bytes()).is_some() => {
                    format!("image '{name}' is not in the annotations; '{known}' is: leave the rest out")
                }
                _ => format!("image '{}' is not in the annotations", shorten(image)),
            },
        };
        Reason::line("unknown image", text)
    }
}

/// A name as text.
pub(crate) fn checked(name: &[u8], what: &str) -> Result<String, Reason> {
    match str::from_utf8(name) {
        _ if name.contains(&0) => Err(Reason::line("binary data", "NUL bytes: this is not a text file")),
        Ok("") => Err(Reason::line("wrong name", format!("{what} missing"))),
        Ok(name) if name.chars().any(char::is_control) => {
            Err(Reason::line("wrong name", format!("{what} holds control characters")))
        }
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(Reason::line("not UTF-8", format!("{what} is not UTF-8 text"))),
    }
}

/// The name of an image: without a leading path and without the suffix of an image file.
pub(crate) fn stem(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let named = |suffix: &str| {
        let start = name.len().checked_sub(suffix.len()).filter(|&start| start > 0);
        start.filter(|&start| name.as_bytes()[start..].eq_ignore_ascii_case(suffix.as_bytes()))
    };
    IMAGE_SUFFIXES.iter().find_map(|suffix| named(suffix)).map_or(name, |start| &name[..start])
}

/// The image that a patch named `<image>__<size or rate>__<x>___<y>` was cut from.
fn whole_image(patch: &str) -> Option<&str> {
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
    let (rest, y) = patch.rsplit_once("___")?;
    let (rest, x) = rest.rsplit_once("__")?;
    let (image, size) = rest.rsplit_once("__")?;
    (number(x) && number(y) && number(size)).then_some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers() {
        let known = Names::new(&["a".into(), "b".into(), "a".into()]);
        assert_eq!(known.list, ["a", "b"]);
        let mut lookup = Lookup::new(&known);
        let mut number = |name: &str| lookup.find_or_add(name.as_bytes(), "name");
        assert_eq!(
            [number("b"), number("b"), number("c"), number("a"), number("c")],
            [Ok(1), Ok(1), Ok(2), Ok(0), Ok(2)]
        );
        assert_eq!(lookup.find(b"d"), None);
        let empty = Names::default();
        assert_eq!(Lookup::new(&empty).find(b""), None);
        assert_eq!(Lookup::new(&empty).find_or_add(b"a\0", "name").err().map(|e| e.kind), Some("binary data"));
        assert_eq!(Lookup::new(&empty).find_or_add(b"a\xff", "name").err().map(|e| e.kind), Some("not UTF-8"));
    }

    #[test]
    fn unknown_images_get_a_hint() {
        let known = Names::new(&["P0006".into()]);
        let reason = |name: &str| Lookup::new(&known).unknown_image(name.as_bytes()).text;
        for patch in ["P0006__1024__0___824", "P0006__1.0__254___0"] {
            assert!(reason(patch).contains("merge the patches"), "{patch}");
        }
        assert!(reason("P0006.png").contains("'P0006' is"));
        assert_eq!(reason("P7"), "image 'P7' is not in the annotations");
        assert_eq!(reason("a__b__c___d"), "image 'a__b__c___d' is not in the annotations");
    }

    #[test]
    fn stems_of_paths() {
        for (path, want) in [
            ("P0001.png", "P0001"),
            ("F:/x/JPEGImages/1.BMP", "1"),
            ("a\\b.c.tiff", "b.c"),
            ("P0001", "P0001"),
            (".png", ".png"),
            ("v1.5", "v1.5"),
            ("é.jpeg", "é"),
        ] {
            assert_eq!(stem(path), want);
        }
    }
}
