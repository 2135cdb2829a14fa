//! The user interface: the command line, the subcommands, errors, reports and exit statuses.

pub mod cli;
pub mod command;
pub mod errors;
pub mod exit;
pub(crate) mod man;
pub mod report;
pub mod schema;
pub mod version;
