//! Image name and size in VOC-style XML.

use super::Source;
use super::chunks::whole;
use super::xml_shapes::{child, text_of};
use crate::threads;
use roxmltree::{Document, Node};

/// Image name and size in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// Name of the image file; empty if unknown.
    pub file: String,
    /// Width and height in pixels; 0 if unknown.
    pub size: [u32; 2],
}

/// Reads the image name and size of each source; unknown if the source is unreadable, which [`super::voc::read`]
/// reports.
pub fn read(sources: &[Source<'_>], jobs: usize) -> Vec<ImageInfo> {
    threads::map(sources.len(), jobs, |i| {
        let text = whole(&sources[i].data).ok()?;
        let document = Document::parse(str::from_utf8(&text).ok()?).ok()?;
        Some(info(document.root_element()))
    })
    .into_iter()
    .map(Option::unwrap_or_default)
    .collect()
}

fn info(root: Node<'_, '_>) -> ImageInfo {
    let number = |node, tag| text_of(node, tag).parse().unwrap_or(0);
    if root.has_tag_name("HRSC_Image") {
        let name = [text_of(root, "Img_FileName"), text_of(root, "Img_FileFmt")].join(".");
        let size = [number(root, "Img_SizeWidth"), number(root, "Img_SizeHeight")];
        return ImageInfo { file: name.trim_matches('.').to_owned(), size };
    }
    let size = child(root, "size").map_or([0; 2], |size| [number(size, "width"), number(size, "height")]);
    let file = match text_of(root, "filename") {
        "" => child(root, "source").map_or("", |source| text_of(source, "filename")), // FAIR1M
        name => name,
    };
    ImageInfo { file: file.to_owned(), size }
}

#[cfg(test)]
mod tests {
    use super::super::Data;
    use super::*;

    #[test]
    fn files_and_sizes() {
        for (text, file, size) in [
            (
                "<annotation><filename> a.jpg </filename><object><filename>b</filename></object><size><width>8</width>\
                 <height>6</height></size></annotation>",
                "a.jpg",
                [8, 6],
            ),
            (
                "<HRSC_Image><Img_FileName>1</Img_FileName><Img_FileFmt>bmp</Img_FileFmt><Img_SizeWidth>8\
                 </Img_SizeWidth><Img_SizeHeight>6</Img_SizeHeight></HRSC_Image>",
                "1.bmp",
                [8, 6],
            ),
            ("<HRSC_Image><Img_FileName>1</Img_FileName></HRSC_Image>", "1", [0, 0]),
            ("<annotation><size><width>8.5</width></size></annotation>", "", [0, 0]),
            ("<annotation>", "", [0, 0]),
        ] {
            let source = Source { name: "f".into(), subject: "a".into(), data: Data::Bytes(text.as_bytes()) };
            assert_eq!(read(&[source], 1), [ImageInfo { file: file.to_owned(), size }], "{text}");
        }
    }
}
