//! Object cache: boxes that free themselves from anywhere by masking their own address, over aligned slabs that come and go.
#![cfg_attr(not(test), no_std)]
