//! What any program needs of the system and std does not have: threads with descriptors of their own, descriptors
//! as paths.

pub mod call;
pub mod descriptors;
pub mod threads;
