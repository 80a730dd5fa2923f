//! Former names of the functions of this module.

pub use super::{
    allow_access as permit, deny_access as forbid, poison as retire, unpoison as revive,
};
