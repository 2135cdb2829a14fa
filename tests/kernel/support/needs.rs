//! What a test needs that not every kernel has: on one that lacks it, the test ends by saying so.
//!
//! It fails then, for nothing that was not tested may pass. Whoever runs the tests on older kernels knows
//! them by the first line: `skipped: this kernel lacks … (since Linux …)`.

use std::sync::OnceLock;

use iterctl::host::kernel::features;
use iterctl_core::feature::{Feature, Features, State};
use iterctl_core::target::Target;

/// What this kernel has, asked once.
fn all() -> &'static Features {
    static FEATURES: OnceLock<Features> = OnceLock::new();
    FEATURES.get_or_init(features)
}

/// Whether this kernel has it.
#[track_caller]
pub(crate) fn has(feature: Feature) -> bool {
    match all().state(feature).expect("every feature is asked for") {
        State::Present => true,
        State::Absent => false,
        State::Unknown(why) => {
            panic!("whether this kernel has {} is not known: {why}", feature.words())
        }
    }
}

/// The test goes on where this kernel has it.
#[track_caller]
pub(crate) fn needs(feature: Feature) {
    if !has(feature) {
        panic!("skipped: this kernel lacks {} (since Linux {})", feature.words(), feature.since());
    }
}

/// A target.
#[track_caller]
pub(crate) fn target(name: &str) -> Feature {
    Feature::Target(Target::new(name).known().expect("it is in the table"))
}
