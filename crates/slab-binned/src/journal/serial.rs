//! Logs through serde, as their text.

extern crate alloc;

use alloc::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::OpLog;

impl Serialize for OpLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OpLog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
