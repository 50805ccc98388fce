//! Splits images into patches and writes them to files, in bounded memory.
//!
//! Workers share the open images and a queue of patches that wait for encoding. While the queue is short, a worker
//! decodes more of an image, or opens another one, and cuts its next window; otherwise it encodes and writes a patch.
//! So decoding and encoding overlap within an image and between images.

mod source;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::mem;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use crate::image_io::{self, Area, Format, ImageError};
use crate::threads;
use crate::tile::Window;
use source::{Pixels, Source};

/// Bytes of pixels that may wait for encoding. A single worker needs no queue.
const QUEUE: usize = 40 << 20;
/// Bytes of rows that open images may hold, per worker. One image is always open, whatever it holds.
const ROWS: usize = 64 << 20;
/// Interval at which the caller can stop the split.
const PATIENCE: Duration = Duration::from_millis(100);

/// Returns all pixels of an image, RGB, row by row; their number must be that of the plan.
pub type Decode = Arc<dyn Fn() -> Result<Vec<u8>, ImageError> + Send + Sync>;

/// Source of an image's pixels.
pub enum Origin {
    /// A file that [`image_io`] reads.
    File(PathBuf),
    /// An image read whole by another decoder.
    Whole(Decode),
}

/// An image and its patches.
pub struct Image {
    /// Source of the pixels.
    pub origin: Origin,
    /// Width and height in the header when the windows were made.
    pub size: (usize, usize),
    /// Patches, in any order.
    pub patches: Vec<Patch>,
}

/// A patch of an image.
pub struct Patch {
    /// Window; it starts inside the image.
    pub window: Window,
    /// Output file.
    pub file: PathBuf,
    /// Another file, with its content, to be written first.
    pub label: Option<(PathBuf, String)>,
}

/// Settings of the output.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// File format.
    pub format: Format,
    /// Padding colour beyond the image, RGB; None: windows end at the image border.
    pub padding: Option<[u8; 3]>,
    /// Number of threads; 0: one per core.
    pub jobs: usize,
}

/// Progress event; images are numbered in input order.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A patch of an image was written.
    Patch(usize),
    /// All patches of an image were written.
    Done(usize),
    /// An image cannot be read or encoded, with the reason; its patches were removed.
    Failed(usize, String),
    /// Nothing happened for a while.
    Waiting,
}

/// A file that cannot be written.
#[derive(Debug)]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// Splits images; `report` is called on this thread and can stop the split.
///
/// Images are taken from the iterator as needed. Files appear under their names when they are complete.
///
/// # Errors
/// For the first file that cannot be written; no more files are written after it.
pub fn split(
    images: impl Iterator<Item = Image>,
    settings: Settings,
    mut report: impl FnMut(Event) -> ControlFlow<()>,
) -> Result<(), WriteError> {
    let jobs = threads::workers(settings.jobs, usize::MAX);
    let (events, incoming) = mpsc::channel();
    let pool = Pool {
        settings,
        queue: if jobs == 1 { 1 } else { QUEUE },
        jobs,
        state: Mutex::default(),
        changed: Condvar::new(),
        stop: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let _end = EndOnDrop(&pool); // also if `images` or `report` panics: else the workers would wait for ever
        for worker in 0..jobs {
            let (pool, events) = (&pool, events.clone());
            let started = thread::Builder::new().spawn_scoped(scope, move || pool.work(&events));
            // If the system has no more threads, one is enough.
            assert!(started.is_ok() || worker > 0, "no thread can be started");
            if started.is_err() {
                break;
            }
        }
        drop(events);
        let mut images = images.enumerate().filter(|(_, image)| !image.patches.is_empty()).fuse();
        loop {
            pool.feed(&mut images, 2 * jobs);
            let event = match incoming.recv_timeout(PATIENCE) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => Event::Waiting,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if report(event).is_break() {
                return;
            }
        }
    });
    pool.state.into_inner().unwrap_or_else(PoisonError::into_inner).fatal.map_or(Ok(()), Err)
}

impl Image {
    /// Part of a patch's window inside the image.
    fn inside(&self, patch: usize) -> Area {
        let w = self.patches[patch].window;
        let (x, y) = (w.x0 as usize, w.y0 as usize);
        let (x1, y1) = ((w.x1 as usize).min(self.size.0), (w.y1 as usize).min(self.size.1));
        Area { x, y, width: x1 - x, height: y1 - y }
    }

    /// Estimated bytes of an open image.
    fn bytes(&self) -> usize {
        let rows = match self.origin {
            Origin::File(_) => (0..self.patches.len()).map(|i| self.inside(i).height).max().unwrap_or(0),
            Origin::Whole(_) => self.size.1,
        };
        rows * self.size.0 * 3
    }
}

/// State shared by the workers.
struct Pool {
    settings: Settings,
    queue: usize,
    jobs: usize,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Images that are not open yet, and whether the input has ended.
    waiting: VecDeque<(usize, Image)>,
    no_more: bool,
    /// Open images that no worker is decoding.
    idle: Vec<Source>,
    /// Number of open images, and their estimated bytes of rows.
    open: usize,
    open_bytes: usize,
    /// Patches that wait for encoding, and their bytes.
    ready: VecDeque<Pixels>,
    ready_bytes: usize,
    /// Memory of written patches, for reuse: allocating it anew takes as long as filling it.
    spare: Vec<Vec<u8>>,
    /// Images with patches that are not written yet.
    unfinished: HashMap<usize, Unfinished>,
    fatal: Option<WriteError>,
}

struct Unfinished {
    plan: Arc<Image>,
    /// Written patches, and the number being written.
    written: Vec<usize>,
    writing: usize,
    failed: Option<ImageError>,
}

enum Task {
    Open(usize, Arc<Image>),
    /// A job, with memory for the pixels of a patch.
    Decode(Source, Vec<u8>),
    Write(Pixels, Arc<Image>),
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Code that may panic does not run under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let _state = self.lock(); // a worker that has just found `stop` unset is asleep now, and will hear
        self.changed.notify_all();
    }

    /// Fills the queue of waiting images up to `count`.
    fn feed(&self, images: &mut impl Iterator<Item = (usize, Image)>, count: usize) {
        let mut missing = count.saturating_sub(self.lock().waiting.len());
        while missing > 0 {
            let image = images.next(); // takes time, and may panic
            let mut state = self.lock();
            missing = if image.is_some() { missing - 1 } else { 0 };
            state.no_more = image.is_none();
            state.waiting.extend(image);
            self.changed.notify_all();
        }
    }

    fn work(&self, events: &Sender<Event>) {
        let mut file = Vec::new();
        while let Some(task) = self.next_task() {
            match task {
                Task::Open(image, plan) => match guarded(|| Source::open(image, Arc::clone(&plan))) {
                    Ok(source) => self.put_back(source, None),
                    Err(error) => {
                        self.lock().close(&plan);
                        self.fail(image, error, events);
                    }
                },
                Task::Decode(mut source, spare) => {
                    match guarded(|| source.next(self.settings.padding, spare, &self.stop)) {
                        Ok(Some(pixels)) => self.put_back(source, Some(pixels)),
                        Ok(None) => return,
                        Err(error) => {
                            self.lock().close(&source.plan);
                            self.fail(source.image, error, events);
                        }
                    }
                }
                Task::Write(pixels, plan) => {
                    self.write(&pixels, &plan, &mut file, events);
                    self.keep(pixels.rgb);
                }
            }
        }
    }

    /// Next job; None at the end.
    fn next_task(&self) -> Option<Task> {
        let mut state = self.lock();
        while !self.stop.load(Ordering::Relaxed) {
            if state.ready_bytes < self.queue {
                if let Some(source) = state.idle.pop() {
                    let spare = state.spare.pop().unwrap_or_default();
                    return Some(Task::Decode(source, spare));
                }
                if let Some((image, plan)) = state.open_next(self.jobs) {
                    return Some(Task::Open(image, plan));
                }
            }
            if let Some((pixels, plan)) = state.next_ready() {
                return Some(Task::Write(pixels, plan));
            }
            if state.no_more && state.waiting.is_empty() && state.open == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Returns an open image to the other workers, and queues its cut window for encoding.
    fn put_back(&self, source: Source, pixels: Option<Pixels>) {
        let mut state = self.lock();
        let sound = state.unfinished.get(&source.image).is_some_and(|image| image.failed.is_none());
        if sound {
            state.ready_bytes += pixels.as_ref().map_or(0, Pixels::bytes);
            state.ready.extend(pixels);
        }
        if sound && !source.is_done() {
            state.idle.push(source);
        } else {
            state.close(&source.plan);
        }
        self.changed.notify_all();
    }

    /// Encodes a patch, in the memory of `file`, and writes its files.
    fn write(&self, pixels: &Pixels, plan: &Image, file: &mut Vec<u8>, events: &Sender<Event>) {
        let Pixels { image, patch, ref rgb, width, height } = *pixels;
        let patch = &plan.patches[patch];
        let encoded = guarded(|| image_io::encode(rgb, width, height, self.settings.format, mem::take(file)));
        let written = encoded.map(|bytes| {
            *file = bytes;
            let label = patch.label.as_ref().map_or(Ok(()), |(path, text)| write_file(path, text.as_bytes()));
            label.and_then(|()| write_file(&patch.file, file))
        });
        let mut state = self.lock();
        let Some(unfinished) = state.unfinished.get_mut(&image) else { return };
        unfinished.writing -= 1;
        match written {
            Ok(Ok(())) => {
                unfinished.written.push(pixels.patch);
                if unfinished.failed.is_some() {
                    drop(state);
                    return self.settle(image, events);
                }
                let done = unfinished.written.len() == plan.patches.len();
                if done {
                    state.unfinished.remove(&image);
                }
                drop(state);
                // If the caller is gone, there is nobody to tell.
                let _ = events.send(Event::Patch(image));
                if done {
                    let _ = events.send(Event::Done(image));
                }
            }
            Ok(Err(WriteError { path, error })) if error.kind() == io::ErrorKind::InvalidFilename => {
                drop(state);
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.fail(image, ImageError(format!("its name is too long: a patch would be called {name}")), events);
            }
            Ok(Err(error)) => {
                state.fatal.get_or_insert(error);
                drop(state);
                self.end();
            }
            Err(error) => {
                drop(state);
                self.fail(image, error, events);
            }
        }
    }

    /// Keeps the memory of a patch for the next one.
    fn keep(&self, rgb: Vec<u8>) {
        let mut state = self.lock();
        if state.spare.len() < self.jobs {
            state.spare.push(rgb);
        }
    }

    /// Drops a failed image.
    fn fail(&self, image: usize, error: ImageError, events: &Sender<Event>) {
        let mut state = self.lock();
        if let Some(unfinished) = state.unfinished.get_mut(&image) {
            unfinished.failed.get_or_insert(error);
        }
        state.ready.retain(|pixels| pixels.image != image);
        state.ready_bytes = state.ready.iter().map(Pixels::bytes).sum();
        if let Some(at) = state.idle.iter().position(|source| source.image == image) {
            let source = state.idle.swap_remove(at);
            state.close(&source.plan);
        }
        self.changed.notify_all();
        drop(state);
        self.settle(image, events);
    }

    /// Removes the files of a failed image once no worker writes them.
    fn settle(&self, image: usize, events: &Sender<Event>) {
        let mut state = self.lock();
        if state.unfinished.get(&image).is_none_or(|image| image.writing > 0) {
            return;
        }
        let Some(Unfinished { plan, written, failed: Some(error), .. }) = state.unfinished.remove(&image) else {
            return;
        };
        drop(state);
        for patch in written.into_iter().map(|i| &plan.patches[i]) {
            // Files that cannot be removed are left.
            let _ = fs::remove_file(&patch.file);
            let _ = patch.label.as_ref().map(|(path, _)| fs::remove_file(path));
        }
        let _ = events.send(Event::Failed(image, error.0));
    }
}

impl State {
    /// Next image to open, if there is one and enough memory.
    fn open_next(&mut self, jobs: usize) -> Option<(usize, Arc<Image>)> {
        let bytes = self.open_bytes + self.waiting.front()?.1.bytes();
        if self.open > 0 && (self.open >= jobs || bytes > jobs * ROWS) {
            return None;
        }
        let (image, plan) = self.waiting.pop_front()?;
        let plan = Arc::new(plan);
        let unfinished = Unfinished { plan: Arc::clone(&plan), written: Vec::new(), writing: 0, failed: None };
        self.unfinished.insert(image, unfinished);
        self.open += 1;
        self.open_bytes = bytes;
        Some((image, plan))
    }

    fn close(&mut self, plan: &Image) {
        self.open -= 1;
        self.open_bytes -= plan.bytes();
    }

    /// Next patch to encode.
    fn next_ready(&mut self) -> Option<(Pixels, Arc<Image>)> {
        let pixels = self.ready.pop_front()?;
        self.ready_bytes -= pixels.bytes();
        let unfinished = self.unfinished.get_mut(&pixels.image)?;
        unfinished.writing += 1;
        Some((pixels, Arc::clone(&unfinished.plan)))
    }
}

struct EndOnDrop<'a>(&'a Pool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Runs `f`; a panic, such as that of a decoder on an unforeseen file, becomes an error of the image.
fn guarded<T>(f: impl FnOnce() -> Result<T, ImageError>) -> Result<T, ImageError> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err(ImageError("crashes its decoder".into())))
}

/// Writes a temporary file beside `path` and puts it in place when it is complete.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        WriteError { path: path.to_owned(), error }
    })
}
