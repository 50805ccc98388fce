//! Splits work over threads; no other module does.

use std::sync::Mutex;
use std::thread;

/// Number of workers for `items` pieces of work, given the requested `jobs` (0: one per core).
pub fn workers(jobs: usize, items: usize) -> usize {
    let jobs = if jobs == 0 { thread::available_parallelism().map_or(1, |n| n.get()) } else { jobs };
    jobs.min(items).max(1)
}

/// Calls `f` on every item, on up to `jobs` threads (0: one per core), in no particular order.
///
/// Items are handed out one at a time, which balances uneven work. A panic in `f` propagates.
pub fn for_each<I, F>(items: I, jobs: usize, f: F)
where
    I: ExactSizeIterator + Send,
    I::Item: Send,
    F: Fn(I::Item) + Sync,
{
    let workers = workers(jobs, items.len());
    if workers == 1 {
        return items.for_each(f);
    }
    let queue = Mutex::new(items);
    let work = || {
        loop {
            // The lock guards only the iterator; `f` runs outside it and cannot poison it.
            let item = queue.lock().ok().and_then(|mut items| items.next());
            match item {
                Some(item) => f(item),
                None => return,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
}

/// `(0..n).map(f)` on up to `jobs` threads (0: one per core), with results in order.
pub fn map<R: Send, F: Fn(usize) -> R + Sync>(n: usize, jobs: usize, f: F) -> Vec<R> {
    let mut out: Vec<Option<R>> = (0..n).map(|_| None).collect();
    for_each(out.iter_mut().enumerate(), jobs, |(i, slot)| *slot = Some(f(i)));
    out.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_for_any_number_of_workers() {
        for jobs in 0..5 {
            assert_eq!(map(1000, jobs, |i| i * i), (0..1000).map(|i| i * i).collect::<Vec<_>>());
            assert_eq!(map(0, jobs, |i| i), Vec::<usize>::new());
        }
    }
}
