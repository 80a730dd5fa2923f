//! A small scheduler: tasks of several types in one cache, as pinned boxes of 16 bytes, and a counter that they share.
//!
//! Each task is an `async` block, so that each has a type without a name. The slots of the cache hold any of them: a
//! task of up to 128 bytes. Finished tasks free their slots, from whatever thread runs them, and `trim` returns the memory
//! while other tasks are still waiting.
//!
//! `cargo run -p slab-cache --example tasks`

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use slab_cache::{Config, SharedConfig, SlabArc, SlabBox, SlabCache, WithSlots, coerce};

type Slots = WithSlots<128, SharedConfig>;
type Task = Pin<SlabBox<dyn Future<Output = ()> + Send, Slots>>;

/// Makes the next task wait for its turn once.
async fn pause() {
    let mut was_polled = false;
    std::future::poll_fn(move |_| {
        if std::mem::replace(&mut was_polled, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Moves a task of any type into the cache.
fn spawn<F>(tasks: &SlabCache<(), Slots>, task: F) -> Task
where
    F: Future<Output = ()> + Send + 'static,
{
    let task = tasks.of().alloc(task).expect("memory");
    SlabBox::into_pin(SlabBox::unsize(task, coerce!(dyn Future<Output = ()> + Send)))
}

/// Polls the tasks in turn until all are finished.
fn run(mut queue: VecDeque<Task>) {
    let mut context = Context::from_waker(Waker::noop());
    while let Some(mut task) = queue.pop_front() {
        if task.as_mut().poll(&mut context).is_pending() {
            queue.push_back(task);
        }
    }
}

fn main() {
    let tasks = SlabCache::<(), Slots>::with_config().expect("memory");
    // The counter lies in the same cache, as one more type.
    let sum: SlabArc<AtomicU64, Slots> = tasks.of().alloc_arc(AtomicU64::new(0)).expect("memory");

    let mut queue = VecDeque::new();
    for number in 0..1000 {
        let (one, two) = (sum.clone(), sum.clone());
        queue.push_back(spawn(&tasks, async move {
            pause().await;
            one.fetch_add(number, Ordering::Relaxed);
        }));
        let pair = [number, number];
        queue.push_back(spawn(&tasks, async move {
            for part in pair {
                two.fetch_add(part, Ordering::Relaxed);
                pause().await;
            }
        }));
    }
    println!("{} bytes of a task in the queue", size_of::<Task>());
    println!("{} values, {} owners of the sum", tasks.len(), SlabArc::strong_count(&sum));

    let others = queue.split_off(1000);
    thread::scope(|scope| {
        scope.spawn(|| run(queue));
        scope.spawn(|| run(others));
    });
    println!("sum {}, {} value", sum.load(Ordering::Relaxed), tasks.len());
    println!("{} bytes returned", tasks.trim());
    assert_eq!(sum.load(Ordering::Relaxed), 3 * 999 * 1000 / 2);
    assert!(tasks.len() == 1 && tasks.held_bytes() < 32 * Slots::SLAB_BYTES);
}
