//! The output form (text or JSON) that a command line asks for. Only this module decides it.
//!
//! The flags of a valid command line say it. But also the error about an invalid command line must be printed in the
//! form that it asks for, because a program may read it. clap stops at the first error and does not report the flags
//! after it. So this module looks for them, with clap's own definition of the command line, which knows what is a
//! flag, what is the value of an option, and what follows `--`.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory as _};
use clap_lex::RawArgs;

use super::Cli;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text, for people.
    Text,
    /// One JSON document in one line.
    Json,
    /// One indented JSON document.
    PrettyJson,
}

impl Form {
    /// The form that a valid command line asks for.
    pub fn from_cli(cli: &Cli) -> Self {
        Self::from_flags(cli.json, cli.pretty)
    }

    /// The form that an invalid command line asks for. The first argument is the program's name.
    pub fn from_invalid(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut command = Cli::command();
        // Copies the global flags into the subcommands.
        command.build();
        let flags = flags(&command, &RawArgs::new(arguments));
        let has = |name: &str| flags.contains(&name);
        Self::from_flags(has("json"), has("pretty"))
    }

    fn from_flags(json: bool, pretty: bool) -> Self {
        match (json, pretty) {
            (_, true) => Self::PrettyJson,
            (true, false) => Self::Json,
            (false, false) => Self::Text,
        }
    }
}

/// The flags of a command line, which may have any errors.
fn flags<'a>(command: &'a Command, arguments: &RawArgs) -> Vec<&'a str> {
    let (mut command, mut flags) = (command, Vec::new());
    // Whether the previous argument is an option that still needs its value.
    let mut wants_value = false;
    let mut cursor = arguments.cursor();
    let _program = arguments.next(&mut cursor);
    while let Some(argument) = arguments.next(&mut cursor) {
        if argument.is_escape() {
            break;
        } else if let Some((name, value)) = argument.to_long() {
            let known =
                name.ok().and_then(|name| find(command, |one| one.get_long() == Some(name)));
            wants_value = known.is_some_and(|known| takes_value(known) && value.is_none());
            // A flag with a value, such as `--json=yes`, is an error and does not set the flag.
            flags.extend(known.filter(|_| value.is_none()).map(|known| known.get_id().as_str()));
        } else if let Some(mut cluster) = argument.to_short() {
            wants_value = false;
            // The letters after an unknown flag may be its value.
            while let Some(Ok(name)) = cluster.next_flag()
                && let Some(known) = find(command, |one| one.get_short() == Some(name))
            {
                flags.push(known.get_id().as_str());
                if takes_value(known) {
                    wants_value = cluster.next_value_os().is_none();
                    break;
                }
            }
        } else if wants_value {
            wants_value = false;
        } else if let Some(subcommand) = command.find_subcommand(argument.to_value_os()) {
            command = subcommand;
        }
    }
    flags
}

fn find(command: &Command, is_meant: impl Fn(&Arg) -> bool) -> Option<&Arg> {
    command.get_arguments().find(|one| is_meant(one))
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Form) {
        let words = || ["iterctl"].into_iter().chain(line.split_whitespace()).map(OsString::from);
        assert_eq!(Form::from_invalid(words()), expected, "{line}");
        // If the command line is valid, clap must find the same flags.
        if let Ok(cli) = Cli::try_parse_from(words()) {
            assert_eq!(Form::from_cli(&cli), expected, "{line}");
        }
    }

    #[test]
    fn flags_are_found_wherever_they_are() {
        check("", Form::Text);
        check("-j", Form::Json);
        check("-j apply --bogus", Form::Json);
        check("--json apply --bogus", Form::Json);
        check("apply --bogus -j", Form::Json);
        check("apply --bogus --json", Form::Json);
        check("bogus -j", Form::Json);
        check("apply -f x.toml -p", Form::PrettyJson);
        check("-j apply -f x.toml --pretty", Form::PrettyJson);
        check("apply --bogus", Form::Text);
    }

    #[test]
    fn each_letter_of_a_group_of_short_flags_is_read() {
        check("apply -jf x.toml --bogus", Form::Json);
        check("apply -jfx.toml", Form::Json);
        check("apply -pj --bogus", Form::PrettyJson);
        check("apply -dj --bogus", Form::Json);
        check("-dVj", Form::Json);
        check("-jx apply", Form::Json);
        check("-xj apply", Form::Text);
        check("pin a.o x -vj --bogus", Form::Json);
        // Only `pin` has that flag.
        check("apply -vj", Form::Text);
    }

    #[test]
    fn values_of_options_are_not_read_as_flags() {
        check("apply -fj --bogus", Form::Text);
        check("apply -f=j --bogus", Form::Text);
        check("apply -dfp --bogus", Form::Text);
        check("apply --set=-j --bogus", Form::Text);
        check("apply --set=--json --bogus", Form::Text);
        check("apply -f x.toml --set apply -j --bogus", Form::Json);
        check("--json=yes apply", Form::Text);
    }

    #[test]
    fn flags_are_not_read_as_values_of_options() {
        check("apply -f -j", Form::Json);
        check("apply --set --pretty", Form::PrettyJson);
        check("apply -f - -j", Form::Json);
    }

    #[test]
    fn nothing_after_two_hyphens_is_a_flag() {
        check("unpin -- -j", Form::Text);
        check("unpin --bogus -- -j", Form::Text);
        check("unpin -j -- -p", Form::Json);
        check("list --bpffs -- -j", Form::Text);
    }
}
