//! Magazines, a shard and a depot, one step at a time: how much is in each, and the value of each sum.
//! The properties in `properties.rs` say that nothing is lost; these say that it is where it should be.

use slab_pool::magazine::{Cache, Depot, Linked, Shape};

#[derive(Debug, Default)]
struct Item(Option<Box<Item>>);

impl Linked for Item {
    fn link(&mut self) -> &mut Option<Box<Self>> {
        &mut self.0
    }
}

const BATCH: usize = 4;

/// A depot of one class, whose magazines hold four items of ten bytes, in one shard.
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
    let mut cache = Cache::new(&depot);
    let mut taken = || {
        assert!(cache.take(&depot, 0).is_some());
        std::iter::from_fn(|| cache.pop(0)).count() + 1
    };
    assert_eq!(taken(), 1, "the newest magazine was begun by the fifth");
    assert_eq!(taken(), BATCH, "the one before was filled");
    assert!(cache.take(&depot, 0).is_none());
}

#[test]
fn an_item_holds_a_reservation_until_it_is_taken() {
    let depot = depot();
    put(&depot, 3);
    assert_eq!((depot.available_items(0), depot.available_bytes()), (97, usize::MAX - 30));
    for left in [98, 99, 100] {
        assert!(depot.take_one(0).is_some());
        assert_eq!(
            (depot.available_items(0), depot.available_bytes()),
            (left, usize::MAX - (100 - left) * 10)
        );
    }
    assert!(depot.take_one(0).is_none());
    assert_eq!((depot.available_items(0), depot.available_bytes()), (100, usize::MAX));
}

#[test]
fn a_sweep_frees_what_was_not_needed_since_the_last() {
    let depot = depot();
    put(&depot, 3 * BATCH);
    assert_eq!(depot.sweep(true), 0, "it is new");
    // One magazine is used up in between: two were not needed.
    (0..BATCH).for_each(|_| assert!(depot.take_one(0).is_some()));
    put(&depot, BATCH);
    assert_eq!(depot.sweep(true), 2 * BATCH * 10);
    assert_eq!(depot.available_items(0), 100 - BATCH);
    assert_eq!(depot.trim(), BATCH * 10);
    assert_eq!(depot.available_items(0), 100);
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

/// The limits of a cache that is not in sync are zero, and would send every item into the slow path.
#[test]
fn a_cache_in_sync_keeps_and_takes_on_the_hot_path() {
    let depot = depot();
    put(&depot, 1);
    let mut cache = Cache::new(&depot);
    let item = cache.take(&depot, 0).expect("one was put");
    assert!(cache.push(0, item).is_ok());
    assert!(cache.pop(0).is_some());
}
