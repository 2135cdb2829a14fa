//! Who is spoken to: the command line, the subcommands, reports and exit statuses.

pub mod cli;
pub mod command;
pub mod exit;
pub mod man;
pub mod report;
pub mod schema;
pub mod version;
