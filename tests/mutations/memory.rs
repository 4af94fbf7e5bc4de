//! Memory that is counted: an allocator that asks the system's and keeps the sum.

// The crate's lints deny unsafe code, and an allocator is a promise that the compiler cannot check. This one hands every
// call to the system's allocator as it came and gives back what that gave, so it keeps the promise as that does; what it
// adds are two counters.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that are in use, and the most that were.
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn more(bytes: usize) {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(now, Relaxed);
}

// SAFETY: all is left to `System`, with the arguments that the caller has to answer for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it is moved, both are there.
        more(size);
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(block, layout, size) }
    }
}

/// One measurement at a time: the counters are the whole process's, its other threads' included.
static MEASURING: Mutex<()> = Mutex::new(());

/// Does the work, and says how many bytes more than before were in use at most.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let _one = MEASURING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    let done = work();
    (done, MOST.load(Relaxed).saturating_sub(before))
}

#[test]
fn what_is_used_is_counted() {
    let (_, peak) = peak_of(|| {
        drop(std::hint::black_box(vec![1_u8; 10 << 20]));
        std::hint::black_box(vec![0_u8; 3 << 20])
    });
    assert!((10 << 20..1 << 26).contains(&peak), "{peak}");
}
