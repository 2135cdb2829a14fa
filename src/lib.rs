//! iterctl
pub mod desired;
pub mod fault;
pub mod manifest;
pub mod meta;
pub mod observed;
pub mod path;
pub mod plan;
pub mod stamp;
pub mod target;
