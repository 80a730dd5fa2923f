//! Traits that a box or a counted pointer has if its value has them.

use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::pin::Pin;

use crate::boxed::SlabBox;
use crate::config::Config;
use crate::counted::SlabCounted;
use crate::counts::Count;

/// Implements a trait for an owner of a value that has some traits.
macro_rules! by_value {
    (
        [$($parameter:tt)*] $owner:ty, [$($bound:tt)*] $implemented:ty { $($body:tt)* }
    ) => {
        impl<T: ?Sized + $($bound)*, $($parameter)*> $implemented for $owner {
            $($body)*
        }
    };
}

/// Implements the traits that need no exclusive access to the value.
macro_rules! by_shared_value {
    ([$($parameter:tt)*] $owner:ty) => {
        by_value!([$($parameter)*] $owner, [fmt::Debug] fmt::Debug {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        });

        by_value!([$($parameter)*] $owner, [fmt::Display] fmt::Display {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        });

        // Prints the address, as `Box` does.
        by_value!([$($parameter)*] $owner, [] fmt::Pointer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Self::as_ptr(self).fmt(f)
            }
        });

        by_value!([$($parameter)*] $owner, [PartialEq] PartialEq {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        });

        by_value!([$($parameter)*] $owner, [Eq] Eq {});

        by_value!([$($parameter)*] $owner, [PartialOrd] PartialOrd {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                (**self).partial_cmp(&**other)
            }
        });

        by_value!([$($parameter)*] $owner, [Ord] Ord {
            fn cmp(&self, other: &Self) -> Ordering {
                (**self).cmp(&**other)
            }
        });

        by_value!([$($parameter)*] $owner, [Hash] Hash {
            fn hash<H: Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        });

        by_value!([$($parameter)*] $owner, [] AsRef<T> {
            fn as_ref(&self) -> &T {
                self
            }
        });

        by_value!([$($parameter)*] $owner, [] Borrow<T> {
            fn borrow(&self) -> &T {
                self
            }
        });

        // Moving the pointer does not move the value.
        by_value!([$($parameter)*] $owner, [] Unpin {});

        by_value!([$($parameter)*] $owner, [core::error::Error] core::error::Error {
            fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
                (**self).source()
            }
        });
    };
}

by_shared_value!([C: Config] SlabBox<T, C>);
by_shared_value!([C: Config, N: Count] SlabCounted<T, C, N>);

by_value!([C: Config] SlabBox<T, C>, [] AsMut<T> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
});

by_value!([C: Config] SlabBox<T, C>, [] BorrowMut<T> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
});

by_value!([C: Config] SlabBox<T, C>, [Future + Unpin] Future {
    type Output = T::Output;

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut core::task::Context<'_>,
    ) -> core::task::Poll<T::Output> {
        Pin::new(&mut **self).poll(context)
    }
});

impl<T: ?Sized, C: Config> From<SlabBox<T, C>> for Pin<SlabBox<T, C>>
where
    C::Source: 'static,
{
    fn from(boxed: SlabBox<T, C>) -> Self {
        SlabBox::into_pin(boxed)
    }
}
