//! Reads randomly damaged small images of every format: the result is pixels or an error, never a panic, and no
//! allocation is larger than so small a file can require. Pieces read in any order equal the whole.
//!
//! Takes about two seconds, or a share of `ROTX_FUZZ_SECONDS`.

mod random;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use mozjpeg::{ColorSpace, Compress};
use random::{Random, time_limit};
use rotx_core::image_io::{Area, Format, encode, open};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const WIDTH: usize = 37;
const HEIGHT: usize = 29;
/// LZW expands 3 kB to at most 8 MB, of 8 pixels a byte; interlaced images and those with an orientation are kept whole.
const MOST_MEMORY: usize = 256 << 20;

/// The system allocator; it records the largest allocation.
struct Noting;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls are forwarded to the system allocator.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn pixels() -> Vec<u8> {
    let colour = |i: usize| ((i % WIDTH * 7) ^ (i / WIDTH * 5)) as u8;
    (0..WIDTH * HEIGHT).flat_map(|i| [colour(i), colour(i) / 2, 255 - colour(i)]).collect()
}

/// A compressed TIFF of one strip, or of tiles of 16 x 16 pixels.
fn tiff(compression: u16, tiled: bool, orientation: u16, compress: impl Fn(&[u8], usize, usize) -> Vec<u8>) -> Vec<u8> {
    let (pixels, (width, height)) = (pixels(), if tiled { (16, 16) } else { (WIDTH, HEIGHT) });
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let (mut starts, mut lengths) = (Vec::new(), Vec::new());
    for y in (0..HEIGHT).step_by(height) {
        for x in (0..WIDTH).step_by(width) {
            let at = |i: usize| ((y + i / width).min(HEIGHT - 1) * WIDTH + (x + i % width).min(WIDTH - 1)) * 3;
            let block: Vec<u8> = (0..width * height).flat_map(|i| pixels[at(i)..][..3].to_vec()).collect();
            let raw = compress(&block, width, height);
            starts.push(file.len() as u32);
            lengths.push(raw.len() as u32);
            file.extend(raw);
        }
    }
    let long =
        |values: Vec<u32>| (4u16, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    let short = |value: u16, n: usize| (3u16, n, value.to_le_bytes().repeat(n));
    let mut tags = vec![(256u16, long(vec![WIDTH as u32])), (257, long(vec![HEIGHT as u32])), (258, short(8, 3))];
    let photometric = if compression == 7 { 6 } else { 2 };
    tags.extend([(259, short(compression, 1)), (262, short(photometric, 1)), (274, short(orientation, 1))]);
    tags.push((277, short(3, 1)));
    if tiled {
        tags.extend([(322, short(16, 1)), (323, short(16, 1)), (324, long(starts)), (325, long(lengths))]);
    } else {
        tags.extend([(273, long(starts)), (279, long(lengths))]);
    }
    let mut directory = (tags.len() as u16).to_le_bytes().to_vec();
    for (tag, (kind, count, mut raw)) in tags {
        if raw.len() > 4 {
            let start = file.len() as u32;
            file.extend(raw);
            raw = start.to_le_bytes().to_vec();
        }
        raw.resize(4, 0);
        directory.extend([tag.to_le_bytes(), kind.to_le_bytes()].as_flattened());
        directory.extend((count as u32).to_le_bytes());
        directory.extend(raw);
    }
    let start = file.len() as u32;
    file[4..8].copy_from_slice(&start.to_le_bytes());
    file.extend(directory);
    file.extend([0; 4]);
    file
}

fn deflate(raw: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(raw).and_then(|()| encoder.finish()).expect("memory")
}

fn jpeg(progressive: bool) -> Vec<u8> {
    let mut encoder = Compress::new(ColorSpace::JCS_RGB);
    encoder.set_size(WIDTH, HEIGHT);
    if progressive {
        encoder.set_progressive_mode();
    }
    let mut encoder = encoder.start_compress(Vec::new()).expect("memory");
    encoder.write_scanlines(&pixels()).expect("memory");
    encoder.finish().expect("memory")
}

/// PNGs of zeros: interlaced, with an orientation, of one bit, and of a palette.
fn pngs() -> [Vec<u8>; 4] {
    let header = |bits: u8, kind: u8, interlaced: u8| {
        let mut data = [WIDTH as u32, HEIGHT as u32].map(u32::to_be_bytes).as_flattened().to_vec();
        data.extend([bits, kind, 0, 0, interlaced]);
        data
    };
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(name);
        crc.update(data);
        [&(data.len() as u32).to_be_bytes()[..], name, data, &crc.sum().to_be_bytes()].concat()
    };
    let file = |header: Vec<u8>, row: usize, more: &[u8]| {
        let zeros = deflate(&vec![0; (1 + row) * HEIGHT]);
        let chunks = [chunk(b"IHDR", &header), more.to_vec(), chunk(b"IDAT", &zeros), chunk(b"IEND", b"")];
        [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
    };
    [
        file(header(8, 0, 1), WIDTH + 3, b""),
        file(header(8, 0, 0), WIDTH, &chunk(b"eXIf", exif)),
        file(header(1, 0, 0), WIDTH.div_ceil(8), b""),
        file(header(4, 3, 0), WIDTH.div_ceil(2), &chunk(b"PLTE", &[9; 48])),
    ]
}

fn seeds() -> Vec<Vec<u8>> {
    let lzw = |raw: &[u8], _, _| {
        weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(raw).expect("memory")
    };
    let literal = |raw: &[u8], _, _| raw.chunks(128).flat_map(|c| [&[c.len() as u8 - 1], c].concat()).collect();
    let jpegs = |raw: &[u8], width, height| encode(raw, width, height, Format::Jpeg(90), Vec::new()).expect("memory");
    let mut seeds =
        vec![encode(&pixels(), WIDTH, HEIGHT, Format::Png, Vec::new()).expect("memory"), jpeg(false), jpeg(true)];
    seeds.extend(pngs());
    for tiled in [false, true] {
        seeds.push(tiff(1, tiled, 1, |raw, _, _| raw.to_vec()));
        seeds.push(tiff(5, tiled, 1, lzw));
        seeds.push(tiff(8, tiled, 6, |raw, _, _| deflate(raw)));
        seeds.push(tiff(32773, tiled, 1, literal));
        seeds.push(tiff(7, tiled, 1, jpegs));
    }
    seeds
}

fn damage(file: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        // Headers are short, so half of the damage goes there.
        let span = if random.below(2) == 0 { file.len() } else { file.len().min(64) };
        let (at, length) = (random.below(span), random.below(6));
        let end = file.len().min(at + length);
        let noise = [0u8, 255, 128, random.below(256) as u8][random.below(4)];
        match random.below(4) {
            0 => drop(file.drain(at..end)),
            1 => file[at..end].fill(noise),
            2 => drop(file.splice(at..at, std::iter::repeat_n(noise, length))),
            _ if random.below(4) == 0 => file.truncate(at.max(1)),
            _ => file[at] ^= 1 << random.below(8),
        }
        if file.is_empty() {
            return;
        }
    }
}

fn some_area((width, height): (usize, usize), random: &mut Random) -> Area {
    let (x, y) = (random.below(width), random.below(height.min(1000)));
    Area { x, y, width: 1 + random.below((width - x).min(100)), height: 1 + random.below((height - y).min(100)) }
}

/// Whether all areas could be read.
fn read(path: &Path, random: &mut Random) -> bool {
    let check = |result: Result<(), rotx_core::image_io::ImageError>| match result {
        Ok(()) => true,
        Err(error) => {
            assert!(!error.0.is_empty() && !error.0.contains('\n'), "{error}");
            false
        }
    };
    match open(path) {
        Ok(mut image) => {
            let (width, height) = image.size();
            assert!(width > 0 && height > 0 && image.block().0 > 0 && image.block().1 > 0);
            (0..3).fold(true, |good, _| {
                let area = some_area((width, height), random);
                good & check(image.read(area, &mut vec![0; area.width * area.height * 3]))
            })
        }
        Err(error) => check(Err(error)),
    }
}

#[test]
fn damaged_images() {
    let path = std::env::temp_dir().join(format!("rotx_fuzz_images_{}", std::process::id()));
    let (seeds, mut random) = (seeds(), Random(0x9E37_79B9_7F4A_7C15));
    for (i, seed) in seeds.iter().enumerate() {
        std::fs::write(&path, seed).expect("temporary folder");
        assert!(read(&path, &mut random), "seed {i} is not read");
    }
    let (start, limit, mut runs, mut good) = (Instant::now(), time_limit(2.0), 0u32, 0u32);
    while runs < 500 || start.elapsed() < limit {
        let mut file = seeds[random.below(seeds.len())].clone();
        damage(&mut file, &mut random);
        std::fs::write(&path, &file).expect("temporary folder");
        good += u32::from(read(&path, &mut random));
        runs += 1;
    }
    std::fs::remove_file(&path).expect("it is there");
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < MOST_MEMORY, "{largest} bytes were asked for at once");
    assert!(good > runs / 50 && good < runs, "{good} of {runs} files were read: the test is too weak");
}

#[test]
fn pieces_equal_the_whole() {
    let path = std::env::temp_dir().join(format!("rotx_pieces_{}", std::process::id()));
    let mut random = Random(7);
    for seed in seeds() {
        std::fs::write(&path, &seed).expect("temporary folder");
        let Ok(mut image) = open(&path) else { continue };
        let (width, height) = image.size();
        let mut whole = vec![0; width * height * 3];
        if image.read(Area { x: 0, y: 0, width, height }, &mut whole).is_err() {
            continue;
        }
        for _ in 0..50 {
            let area = some_area((width, height), &mut random);
            let mut piece = vec![0; area.width * area.height * 3];
            image.read(area, &mut piece).expect("the whole was read");
            for (row, y) in piece.chunks(area.width * 3).zip(area.y..) {
                assert_eq!(row, &whole[(y * width + area.x) * 3..][..area.width * 3], "{area:?}");
            }
        }
    }
    std::fs::remove_file(&path).expect("it is there");
}
