//! Annotations as text, one file per format: [`dota`], [`yolo`], [`voc`] (XML in three forms), [`labelme`] and
//! [`coco`].
//!
//! All but COCO have one file per image. Coordinates have up to six decimals, which moves no corner by more than a
//! millionth of a pixel; fractions of an image's sides have ten, which is as precise for 20,000 pixels.

pub mod coco;
mod dota;
mod labelme;
pub(crate) mod text;
mod voc;
mod yolo;

use crate::geom::Quad;
use crate::threads;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Consecutive images and their objects.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Name of each image.
    pub names: &'a [String],
    /// File name of each image, with suffix.
    pub files: &'a [String],
    /// Width and height of each image in pixels.
    pub sizes: &'a [[u32; 2]],
    /// The objects of image `i` are those from `bounds[i]` to before `bounds[i + 1]`; one entry more than images.
    pub bounds: &'a [usize],
    /// Names of the classes.
    pub classes: &'a [String],
    /// Corners of each object. For roLabelImg and HRSC they must be those of rectangles, clockwise on the screen.
    pub quads: &'a [Quad],
    /// Index into `classes`.
    pub label: &'a [i32],
    /// 0, 1 (difficult) or 2 (truncated).
    pub difficult: &'a [u8],
    /// 1 for crowd regions, which only COCO stores.
    pub crowd: &'a [u8],
}

/// An image of a batch.
#[derive(Clone, Copy)]
struct Image<'a> {
    file: &'a str,
    width: u32,
    height: u32,
}

/// An object of a batch.
struct Object<'a> {
    class: &'a str,
    label: i32,
    quad: &'a Quad,
    difficult: u8,
    crowd: u8,
}

impl Batch<'_> {
    /// Whether all lengths and indices are consistent.
    pub fn is_sound(&self) -> bool {
        let (images, objects) = (self.names.len(), self.quads.len());
        [self.files.len(), self.sizes.len()] == [images; 2]
            && self.bounds.len() == images + 1
            && self.bounds.is_sorted()
            && self.bounds.last() == Some(&objects)
            && [self.label.len(), self.difficult.len(), self.crowd.len()] == [objects; 3]
            && self.label.iter().all(|&label| usize::try_from(label).is_ok_and(|label| label < self.classes.len()))
    }

    fn image(&self, i: usize) -> Image<'_> {
        let [width, height] = self.sizes[i];
        Image { file: &self.files[i], width, height }
    }

    fn objects(&self, image: usize) -> impl Iterator<Item = Object<'_>> {
        (self.bounds[image]..self.bounds[image + 1]).map(|i| Object {
            class: &self.classes[self.label[i] as usize],
            label: self.label[i],
            quad: &self.quads[i],
            difficult: self.difficult[i],
            crowd: self.crowd[i],
        })
    }
}

/// The formats with one file per image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `x1 y1 ... x4 y4 class difficulty` per line.
    Dota,
    /// `label x1 y1 ... x4 y4` per line, as fractions of the image's sides.
    Yolo,
    /// XML with the four corners of each object, as in DIOR-R.
    Voc,
    /// XML with centre, sides and angle of each object, as roLabelImg writes it.
    RoLabelImg,
    /// XML as in HRSC2016; class names must be its class numbers.
    Hrsc,
    /// JSON with the polygon of each object.
    LabelMe,
}

impl Format {
    fn suffix(self) -> &'static str {
        match self {
            Format::Dota | Format::Yolo => "txt",
            Format::Voc | Format::RoLabelImg | Format::Hrsc => "xml",
            Format::LabelMe => "json",
        }
    }

    /// Text of the file of an image.
    fn text(self, batch: &Batch<'_>, i: usize) -> Vec<u8> {
        let (image, objects) = (batch.image(i), batch.objects(i));
        match self {
            Format::Dota => dota::text(objects),
            Format::Yolo => yolo::text(image, objects),
            Format::Voc => voc::corners(image, objects),
            Format::RoLabelImg => voc::rolabelimg(image, objects),
            Format::Hrsc => voc::hrsc(image, &batch.names[i], objects),
            Format::LabelMe => labelme::text(image, objects),
        }
    }
}

/// Writes the files of a batch into `folder`, which must exist. Their text is made on up to `jobs` threads (0: one per
/// core). A single thread creates the files: several threads in one folder block each other, and ext4 can take four
/// times as long.
///
/// # Errors
/// Returns the first file that cannot be written, and why; other files may have been written.
///
/// # Panics
/// If the batch is inconsistent.
pub fn write_files(batch: &Batch<'_>, format: Format, folder: &Path, jobs: usize) -> Result<(), (PathBuf, io::Error)> {
    let texts = threads::map(batch.names.len(), jobs, |i| format.text(batch, i));
    batch.names.iter().zip(texts).try_for_each(|(name, text)| {
        let path = folder.join(format!("{name}.{}", format.suffix()));
        fs::write(&path, text).map_err(|error| (path, error))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Data, Options, Source, dota, voc};
    use super::*;

    const QUAD: Quad = [10.0, 20.5, 110.0, 20.5, 110.0, 60.25, 10.0, 60.25];

    fn text(format: Format, classes: &[&str], quads: &[Quad], difficult: &[u8]) -> String {
        let classes: Vec<String> = classes.iter().map(|&c| c.to_owned()).collect();
        let label: Vec<i32> = (0..quads.len() as i32).collect();
        let batch = Batch {
            names: &["a & b".to_owned()],
            files: &["a & b.png".to_owned()],
            sizes: &[[20_000, 200]],
            bounds: &[0, quads.len()],
            classes: &classes,
            quads,
            label: &label,
            difficult,
            crowd: &vec![0; quads.len()],
        };
        assert!(batch.is_sound());
        String::from_utf8(format.text(&batch, 0)).expect("text")
    }

    fn read(format: Format, text: &str) -> super::super::Annotations {
        let source = Source { name: "f".into(), subject: "a".into(), data: Data::Bytes(text.as_bytes()) };
        let read = if format == Format::Dota { dota::read } else { voc::read };
        read(&[source], &Options::default()).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    #[test]
    fn dota_and_xml_are_read_as_they_were() {
        let turned = crate::geom::rbox_to_quad(&[50.0, 60.0, 33.3, 7.7, 2.0]);
        for format in [Format::Dota, Format::Voc, Format::RoLabelImg, Format::Hrsc] {
            let text = text(format, &["a", "é<&\">"], &[QUAD, turned], &[2, 1]);
            let read = read(format, &text);
            assert_eq!(read.difficult, [2, 1], "{format:?}");
            for (found, want) in read.quads.iter().zip([QUAD, turned]) {
                for corner in 0..4 {
                    // HRSC boxes have the long side first and angles within half a turn: the first corner may differ.
                    let near = |i: usize| {
                        (found[2 * i] - want[2 * corner]).abs() + (found[2 * i + 1] - want[2 * corner + 1]).abs() < 2e-5
                    };
                    assert!(if format == Format::Hrsc { (0..4).any(near) } else { near(corner) }, "{text}");
                }
            }
            let names: &[&str] = if format == Format::Hrsc { &["ship"] } else { &["a", "é<&\">"] };
            assert_eq!(read.classes, names);
        }
    }

    #[test]
    fn images_without_objects() {
        assert_eq!(text(Format::Dota, &[], &[], &[]), "");
        assert_eq!(text(Format::Yolo, &[], &[], &[]), "");
        for format in [Format::Voc, Format::RoLabelImg, Format::Hrsc] {
            let read = read(format, &text(format, &[], &[], &[]));
            assert_eq!((read.images.len(), read.quads.len()), (1, 0));
        }
        let json: serde_json::Value = serde_json::from_str(&text(Format::LabelMe, &[], &[], &[])).expect("json");
        assert_eq!(json["imagePath"], "a & b.png");
        assert_eq!((json["imageWidth"].as_u64(), json["shapes"].as_array().map(Vec::len)), (Some(20_000), Some(0)));
    }

    #[test]
    fn yolo_has_shares_of_the_sides() {
        let line = "0 0.0005 0.1025 0.0055 0.1025 0.0055 0.30125 0.0005 0.30125\n";
        assert_eq!(text(Format::Yolo, &["a"], &[QUAD], &[1]), line);
    }

    #[test]
    fn labelme_is_json() {
        let written = text(Format::LabelMe, &["a\"\\\n", "b", "c"], &[QUAD, QUAD, QUAD], &[0, 1, 2]);
        let json: serde_json::Value = serde_json::from_str(&written).expect("json");
        let shapes = json["shapes"].as_array().expect("shapes");
        assert_eq!((shapes[0]["label"].as_str(), shapes[0]["flags"].to_string()), (Some("a\"\\\n"), "{}".into()));
        assert_eq!(shapes[1]["flags"]["difficult"], true);
        assert_eq!(shapes[2]["flags"]["truncated"], true);
        assert_eq!(shapes[2]["points"][2][1], 60.25);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let names = ["a".to_owned()];
        let batch = Batch {
            names: &names,
            files: &names,
            sizes: &[[1, 1]],
            bounds: &[0, 0],
            classes: &[],
            quads: &[],
            label: &[],
            difficult: &[],
            crowd: &[],
        };
        let (path, error) = write_files(&batch, Format::Dota, Path::new("/no/such"), 2).expect_err("no folder");
        assert_eq!((path.as_path(), error.kind()), (Path::new("/no/such/a.txt"), io::ErrorKind::NotFound));
        assert!(!Batch { bounds: &[0, 1], ..batch }.is_sound() && !Batch { label: &[0], ..batch }.is_sound());
    }
}
