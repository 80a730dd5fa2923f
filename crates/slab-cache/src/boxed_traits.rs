//! Traits that a box has if its value has them.

use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::pin::Pin;

use crate::boxed::SlabBox;
use crate::config::Config;

macro_rules! by_value {
    ($($(#[$note:meta])* impl<$($bound:path),*> $implemented:ty { $($body:tt)* })*) => {$(
        $(#[$note])*
        impl<T, C: Config> $implemented for SlabBox<T, C>
        where
            $(T: $bound,)*
        {
            $($body)*
        }
    )*};
}

by_value! {
    impl<fmt::Debug> fmt::Debug {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (**self).fmt(f)
        }
    }

    impl<fmt::Display> fmt::Display {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (**self).fmt(f)
        }
    }

    /// Prints the address, as `Box` does.
    impl<> fmt::Pointer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Self::as_ptr(self).fmt(f)
        }
    }

    impl<PartialEq> PartialEq {
        fn eq(&self, other: &Self) -> bool {
            **self == **other
        }
    }

    impl<Eq> Eq {}

    impl<PartialOrd> PartialOrd {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            (**self).partial_cmp(&**other)
        }
    }

    impl<Ord> Ord {
        fn cmp(&self, other: &Self) -> Ordering {
            (**self).cmp(&**other)
        }
    }

    impl<Hash> Hash {
        fn hash<H: Hasher>(&self, state: &mut H) {
            (**self).hash(state);
        }
    }

    impl<> AsRef<T> {
        fn as_ref(&self) -> &T {
            self
        }
    }

    impl<> AsMut<T> {
        fn as_mut(&mut self) -> &mut T {
            self
        }
    }

    impl<> Borrow<T> {
        fn borrow(&self) -> &T {
            self
        }
    }

    impl<> BorrowMut<T> {
        fn borrow_mut(&mut self) -> &mut T {
            self
        }
    }

    /// Moving the box does not move the value.
    impl<> Unpin {}

    impl<core::error::Error> core::error::Error {
        fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
            (**self).source()
        }
    }

    impl<Future, Unpin> Future {
        type Output = T::Output;

        fn poll(
            mut self: Pin<&mut Self>,
            context: &mut core::task::Context<'_>,
        ) -> core::task::Poll<T::Output> {
            Pin::new(&mut **self).poll(context)
        }
    }
}

impl<T, C: Config> From<SlabBox<T, C>> for Pin<SlabBox<T, C>>
where
    C::Source: 'static,
{
    fn from(boxed: SlabBox<T, C>) -> Self {
        SlabBox::into_pin(boxed)
    }
}
