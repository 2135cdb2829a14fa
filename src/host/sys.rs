//! Tools that any program needs and that std does not have: threads with descriptors of their own, descriptors
//! as paths, output that waits for no reader, signals that wait for the end of a change.

pub mod call;
pub mod descriptors;
pub mod output;
pub mod signals;
pub mod threads;
