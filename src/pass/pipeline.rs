//! Work on several items at a time, results in order.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How far the workers are.
#[derive(Default)]
struct State {
    /// The next item to begin.
    next: usize,
    /// Items whose results were used.
    used: usize,
    stop: bool,
}

/// Shared by the threads.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    count: usize,
    /// How far a worker may be ahead of the use of results, so that few results wait.
    ahead: usize,
}

/// Calls `work` on the items `0..count`, from `workers` threads, and `fold` on the results, in order, on this one.
/// While one thread reads an item's data, another computes; and at most twice as many results as workers wait. One
/// worker is this thread.
///
/// # Errors
/// The first error in order of items, wherever it came from.
pub fn ordered<T: Send, E: Send>(
    count: usize,
    workers: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
    mut fold: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    if workers <= 1 {
        return (0..count).try_for_each(|index| fold(index, work(index)?));
    }
    let shared = Shared { state: Mutex::default(), changed: Condvar::new(), count, ahead: 2 * workers };
    std::thread::scope(|scope| {
        // Whatever ends this, the workers must not wait for it.
        let _stop = StopOnDrop(&shared);
        let (sender, results) = mpsc::channel();
        for started in 0..workers {
            let (sender, shared, work) = (sender.clone(), &shared, &work);
            let spawned = std::thread::Builder::new().spawn_scoped(scope, move || shared.work(&sender, work));
            // Where no more threads are to be had, those there are do it; or this one.
            if spawned.is_err() && started == 0 {
                return (0..count).try_for_each(|index| fold(index, work(index)?));
            }
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        for index in 0..count {
            // No result for it: its worker panicked, and the scope passes that on.
            let Some(result) = next(&results, &mut waiting, index) else { break };
            fold(index, result?)?;
            shared.lock().used = index + 1;
            shared.changed.notify_all();
        }
        Ok(())
    })
}

/// The result of item `index`; others that come first are kept.
fn next<T>(results: &Receiver<(usize, T)>, waiting: &mut BTreeMap<usize, T>, index: usize) -> Option<T> {
    while !waiting.contains_key(&index) {
        let (of, result) = results.recv().ok()?;
        waiting.insert(of, result);
    }
    waiting.remove(&index)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item for a worker, when the results before it have been used.
    fn begin(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.stop || state.next >= self.count {
                return None;
            }
            if state.next < state.used + self.ahead {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work<T>(&self, results: &Sender<(usize, T)>, work: &impl Fn(usize) -> T) {
        while let Some(index) = self.begin() {
            let stop = StopOnDrop(self);
            let result = work(index);
            std::mem::forget(stop);
            if results.send((index, result)).is_err() {
                return;
            }
        }
    }
}

/// Lets all workers end: after an error, and after a panic in one of them.
struct StopOnDrop<'a>(&'a Shared);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.lock().stop = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn results_come_in_order_and_few_wait() {
        for workers in [1, 2, 5, 100] {
            let (begun, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let mut seen = vec![];
            let work = |index: usize| {
                let ahead = begun.fetch_add(1, Ordering::SeqCst) - used.load(Ordering::SeqCst);
                assert!(ahead <= 2 * workers.max(1), "{ahead}");
                // Later items are done sooner.
                std::thread::sleep(Duration::from_micros(200 * (50 - index as u64) / 10));
                Ok::<_, ()>(index * index)
            };
            ordered(50, workers, work, |index, square| {
                seen.push((index, square));
                used.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, (0..50).map(|k| (k, k * k)).collect::<Vec<_>>());
        }
        ordered(0, 3, |_| Err::<(), _>(()), |_, ()| Err(())).unwrap();
    }

    #[test]
    fn the_first_error_in_order_ends_it() {
        let work = |index: usize| match index {
            3 => {
                std::thread::sleep(Duration::from_millis(20));
                Err(3)
            }
            4.. => Err(index),
            _ => Ok(index),
        };
        let mut folded = 0;
        let fold = |_: usize, _: usize| {
            folded += 1;
            Ok(())
        };
        assert_eq!(ordered(1000, 4, work, fold), Err(3));
        assert_eq!(folded, 3);
        assert_eq!(ordered(1000, 4, Ok::<_, usize>, |index, _| if index == 7 { Err(index) } else { Ok(()) }), Err(7));
    }

    #[test]
    fn a_panic_is_passed_on_and_nobody_waits_for_ever() {
        let run =
            || ordered(1000, 3, |index| if index == 5 { panic!("of item 5") } else { Ok::<_, ()>(()) }, |_, ()| Ok(()));
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
