//! What a magazine, a rack and a depot do one step at a time: how much is in which, and what each sum says.
//! The properties in `properties.rs` say that nothing is lost; these say that it lies where it should.

use slab_pool::magazine::{Depot, Linked, Local, Shape};

#[derive(Debug, Default)]
struct Item(Option<Box<Item>>);

impl Linked for Item {
    fn link(&mut self) -> &mut Option<Box<Self>> {
        &mut self.0
    }
}

const BATCH: usize = 4;

/// A depot of one class, whose magazines hold four items of ten bytes, in one rack.
fn depot() -> Depot<Item> {
    let shape = Shape::new(10, 100, 40, 8);
    assert_eq!(shape, Shape { item_bytes: 10, capacity: 100, batch: BATCH, share: 2 * BATCH });
    Depot::new(&[shape], usize::MAX, 1)
}

fn put(depot: &Depot<Item>, count: usize) {
    for _ in 0..count {
        depot.put_one(0, Box::default()).expect("there is room");
    }
}

#[test]
fn a_shape_keeps_magazines_small_beside_the_capacity() {
    let batch = |item_bytes, capacity, magazine_bytes, batch_max| {
        Shape::new(item_bytes, capacity, magazine_bytes, batch_max).batch
    };
    assert_eq!(batch(10, 1000, 95, 100), 9);
    assert_eq!(batch(100, 1000, 95, 100), 2, "two at least, however large");
    assert_eq!(batch(10, 1000, 95, 7), 7);
    assert_eq!(batch(10, 12, 95, 100), 3);
    assert_eq!(batch(10, 0, 95, 100), 1);
    assert_eq!(Shape::new(10, 4, 95, 100).share, 1);
    assert_eq!(Shape::new(10, 5, 95, 100).share, 2);
}

#[test]
fn items_put_one_by_one_fill_magazines() {
    let depot = depot();
    put(&depot, BATCH + 1);
    let mut local = Local::new(&depot);
    let mut taken = || {
        assert!(local.take(&depot, 0).is_some());
        std::iter::from_fn(|| local.pop(0)).count() + 1
    };
    assert_eq!(taken(), 1, "the newest magazine was begun by the fifth");
    assert_eq!(taken(), BATCH, "the one before was filled");
    assert!(local.take(&depot, 0).is_none());
}

#[test]
fn what_is_put_is_spoken_for_until_it_is_taken() {
    let depot = depot();
    put(&depot, 3);
    assert_eq!((depot.credits_left(0), depot.bytes_left()), (97, usize::MAX - 30));
    for left in [98, 99, 100] {
        assert!(depot.take_one(0).is_some());
        assert_eq!(
            (depot.credits_left(0), depot.bytes_left()),
            (left, usize::MAX - (100 - left) * 10)
        );
    }
    assert!(depot.take_one(0).is_none());
    assert_eq!((depot.credits_left(0), depot.bytes_left()), (100, usize::MAX));
}

#[test]
fn a_sweep_lets_go_of_what_nobody_needed_since_the_last() {
    let depot = depot();
    put(&depot, 3 * BATCH);
    assert_eq!(depot.sweep(true), 0, "it has only come");
    // One magazine is used up in between: two were not needed.
    (0..BATCH).for_each(|_| assert!(depot.take_one(0).is_some()));
    put(&depot, BATCH);
    assert_eq!(depot.sweep(true), 2 * BATCH * 10);
    assert_eq!(depot.credits_left(0), 100 - BATCH);
    assert_eq!(depot.trim(), BATCH * 10);
    assert_eq!(depot.credits_left(0), 100);
}

#[test]
fn a_closed_depot_keeps_nothing() {
    let depot = depot();
    put(&depot, 2);
    assert!(!depot.is_closed());
    depot.close();
    assert!(depot.is_closed());
    assert!(depot.put_one(0, Box::default()).is_err());
    assert!(depot.take_one(0).is_none());
}

/// Limits of zero, which an unanswered order leaves, would send every item the long way.
#[test]
fn a_cache_without_orders_to_answer_gives_and_takes_at_once() {
    let depot = depot();
    put(&depot, 1);
    let mut local = Local::new(&depot);
    let item = local.take(&depot, 0).expect("one was put");
    assert!(local.push(0, item).is_ok());
    assert!(local.pop(0).is_some());
}
