//! Features that a test needs and that not every kernel has: on a kernel without one, the test ends with a
//! message.
//!
//! The test counts as failed then, because a test that was not run must not pass. People who run the tests
//! on older kernels recognise it by the first line: `skipped: this kernel lacks … (since Linux …)`.

use std::sync::OnceLock;

use iterctl::host::kernel::features;
use iterctl_core::feature::{Feature, Features, State};
use iterctl_core::target::Target;

/// The features of this kernel, asked once.
fn all() -> &'static Features {
    static FEATURES: OnceLock<Features> = OnceLock::new();
    FEATURES.get_or_init(features)
}

/// Whether this kernel has the feature.
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

/// The test continues only if this kernel has the feature.
#[track_caller]
pub(crate) fn needs(feature: Feature) {
    if !has(feature) {
        panic!("skipped: this kernel lacks {} (since Linux {})", feature.words(), feature.since());
    }
}

/// The same for a target.
#[track_caller]
pub(crate) fn target(name: &str) -> Feature {
    Feature::Target(Target::new(name).known().expect("it is in the table"))
}
