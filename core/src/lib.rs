//! The decisions of iterctl: no files, clock, environment, printing or libbpf. The same inputs give the same
//! plan, byte for byte.
//!
//! ```text
//!  texts ─► manifest ─► desired ─┐
//!               ▲                ├─► plan
//!  facts ───────┘     observed ──┘
//! ```
//!
//! | module | in → out |
//! | --- | --- |
//! | [`names`], [`pin_path`], [`access`], [`ids`], [`target`], [`value`] | text, numbers and values that have been checked |
//! | [`escaped`], [`language`] | text from outside → text for people; the words of messages |
//! | [`anatomy`] | the bytes of an object → what each of its programs needs |
//! | [`globals`] | values of variables → bytes |
//! | [`manifest`] | text → keys with their places |
//! | [`desired`] | keys and facts → what every pin must be, or all [faults](fault) |
//! | [`feature`] | what kernels have and lack; what a desired needs and a kernel lacks |
//! | [`stamp`] | the record that is bound to a loaded program ↔ JSON |
//! | [`observed`] | what was found → what every pin is, and who owns it |
//! | [`mod@plan`] | desired and observed → ordered steps with reasons |

#![forbid(unsafe_code)]

pub mod access;
pub mod anatomy;
pub mod desired;
pub mod escaped;
pub mod fault;
pub mod feature;
pub mod globals;
pub mod ids;
pub mod language;
pub mod manifest;
pub mod names;
pub mod observed;
pub mod pin_path;
pub mod plan;
pub mod stamp;
pub mod target;
pub mod value;
