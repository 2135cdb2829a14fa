//! What iterctl decides: no files, clock, environment, printing or libbpf. The same inputs give the same plan,
//! byte for byte.
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
//! | [`escaped`], [`language`] | text from outside → text for people; in which language they are spoken to |
//! | [`anatomy`] | the bytes of an object → what each of its programs needs |
//! | [`globals`] | values of variables → bytes |
//! | [`manifest`] | text → keys with their places |
//! | [`desired`] | keys and facts → what every pin is to be, or all [faults](fault) |
//! | [`feature`] | what kernels have and lack; what a desired needs of that |
//! | [`stamp`] | what a loaded program says of itself ↔ JSON |
//! | [`observed`] | what was found → what every pin is, and whose |
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
