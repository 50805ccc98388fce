#![allow(clippy::unwrap_used)]

use super::*;

/// A temporary folder with an image of 40 x 30 pixels.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("rotx-split-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let rgb: Vec<u8> = (0..40 * 30 * 3).map(|i| (i * 7) as u8).collect();
        fs::write(folder.join("image.png"), image_io::encode(&rgb, 40, 30, Format::Png, Vec::new()).unwrap()).unwrap();
        Folder(folder)
    }

    /// Its image with three windows, as number `i`.
    fn image(&self, i: usize) -> Image {
        let patch = |x0| Patch {
            window: Window { x0, y0: 10, x1: x0 + 20, y1: 30 },
            file: self.0.join(format!("{i}_{x0}.png")),
            label: None,
        };
        Image { origin: Origin::File(self.0.join("image.png")), size: (40, 30), patches: [20, 0, 10].map(patch).into() }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SETTINGS: Settings = Settings { format: Format::Png, padding: None, jobs: 3 };

#[test]
fn each_image_is_reported_once_after_its_patches() {
    let folder = Folder::new("reported");
    let mut images: Vec<Image> = (0..20).map(|i| folder.image(i)).collect();
    images[7].origin = Origin::File(folder.0.join("none.png"));
    images[8].size = (41, 30);
    let mut patches = [0; 20];
    let mut failed = Vec::new();
    split(images.into_iter(), SETTINGS, |event| {
        match event {
            Event::Patch(image) => patches[image] += 1,
            Event::Done(image) => assert_eq!(patches[image], 3),
            Event::Failed(image, reason) => failed.push((image, reason)),
            Event::Waiting => (),
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    failed.sort();
    assert_eq!(failed[0], (7, "no such file".into()));
    assert_eq!(failed[1], (8, "has changed: it is 40 x 30 pixels now".into()));
    assert_eq!(patches.iter().sum::<usize>(), 18 * 3);
}

#[test]
fn it_ends_when_the_caller_stops_or_panics() {
    let folder = Folder::new("stopped");
    let mut taken = 0;
    let endless = (0..).map(|i| folder.image(i)).inspect(|_| taken += 1);
    split(endless, SETTINGS, |_| ControlFlow::Break(())).unwrap();
    assert!(taken < 100);
    let broken = (0..).map(|i| if i < 5 { folder.image(i) } else { panic!("meant") });
    let run = || split(broken, SETTINGS, |_| ControlFlow::Continue(()));
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
}

#[test]
fn a_file_that_cannot_be_written_ends_it() {
    let folder = Folder::new("unwritten");
    let mut image = folder.image(0);
    image.patches[1].label = Some((folder.0.join("none/label.txt"), String::new()));
    let error = split([image].into_iter(), SETTINGS, |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.path, folder.0.join("none/label.txt"));
    assert_eq!(error.error.kind(), io::ErrorKind::NotFound);
    assert!(fs::read_dir(&folder.0).unwrap().all(|f| !f.unwrap().path().ends_with(".tmp")));
}

proptest::proptest! {
    #[test]
    fn windows_in_any_order_hold_their_pixels(
        corners in proptest::collection::vec((0..39_i64, 0..29_i64, 1..50_i64), 1..12),
        padding in proptest::option::of(proptest::array::uniform3(0..255_u8)),
    ) {
        let folder = Folder::new("pixels");
        let mut image = folder.image(0);
        let template = image.patches[0].file.clone();
        image.patches = corners.iter().enumerate().map(|(i, &(x0, y0, size))| Patch {
            window: Window { x0, y0, x1: x0 + size, y1: y0 + size },
            file: template.with_file_name(format!("{i}.png")),
            label: None,
        }).collect();
        let plan = Arc::new(image);
        let mut source = Source::open(0, Arc::clone(&plan)).unwrap();
        let stop = AtomicBool::new(false);
        let mut seen = 0;
        while !source.is_done() {
            let pixels = source.next(padding, vec![9; 5], &stop).unwrap().unwrap();
            let inside = plan.inside(pixels.patch);
            for (at, &rgb) in pixels.rgb.as_chunks::<3>().0.iter().enumerate() {
                let (x, y) = (at % pixels.width, at / pixels.width);
                let wanted = if x < inside.width && y < inside.height {
                    let first = ((y + inside.y) * 40 + x + inside.x) * 3;
                    [first, first + 1, first + 2].map(|i| (i * 7) as u8)
                } else {
                    padding.unwrap()
                };
                assert_eq!(rgb, wanted);
            }
            assert_eq!(pixels.rgb.len(), pixels.width * pixels.height * 3);
            seen += 1;
        }
        assert_eq!(seen, corners.len());
    }
}
