//! In which form an answer is printed: the one place that decides it.
//!
//! A good command line says it in its flags. A wrong one has to be answered in the form that it asks for, too: a
//! program that reads JSON reads it also on a bad day. clap stops at the first error and tells nothing of the flags
//! behind it, so they are looked for in its own definition of the command line, which knows what is a flag, what is
//! an option's value, and what follows `--`.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory as _};
use clap_lex::RawArgs;

use super::Cli;

/// In which form an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text, for people.
    Text,
    /// One JSON document in one line.
    Json,
    /// The same, indented.
    PrettyJson,
}

impl Form {
    /// What a good command line asks for.
    pub fn of(cli: &Cli) -> Self {
        Self::of_flags(cli.json, cli.pretty)
    }

    /// What a wrong command line asks for; the first of the arguments is the program's name.
    pub fn of_wrong(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut command = Cli::command();
        // Copies the global flags into the subcommands.
        command.build();
        let flags = flags(&command, &RawArgs::new(arguments));
        let has = |name: &str| flags.contains(&name);
        Self::of_flags(has("json"), has("pretty"))
    }

    fn of_flags(json: bool, pretty: bool) -> Self {
        match (json, pretty) {
            (_, true) => Self::PrettyJson,
            (true, false) => Self::Json,
            (false, false) => Self::Text,
        }
    }
}

/// The flags of a command line, however wrong it is otherwise.
fn flags<'a>(command: &'a Command, arguments: &RawArgs) -> Vec<&'a str> {
    let (mut command, mut flags) = (command, Vec::new());
    // Whether the option before has no value yet.
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
            // A flag with a value is an error, and none that is set.
            flags.extend(known.filter(|_| value.is_none()).map(|known| known.get_id().as_str()));
        } else if let Some(mut cluster) = argument.to_short() {
            wants_value = false;
            // What is behind an unknown flag may be a value.
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
        assert_eq!(Form::of_wrong(words()), expected, "{line}");
        // Of a good one, clap says the same.
        if let Ok(cli) = Cli::try_parse_from(words()) {
            assert_eq!(Form::of(&cli), expected, "{line}");
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
    fn short_flags_of_one_argument_are_told_apart() {
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
    fn values_are_no_flags() {
        check("apply -fj --bogus", Form::Text);
        check("apply -f=j --bogus", Form::Text);
        check("apply -dfp --bogus", Form::Text);
        check("apply --set=-j --bogus", Form::Text);
        check("apply --set=--json --bogus", Form::Text);
        check("apply -f x.toml --set apply -j --bogus", Form::Json);
        check("--json=yes apply", Form::Text);
    }

    #[test]
    fn flags_are_no_values() {
        check("apply -f -j", Form::Json);
        check("apply --set --pretty", Form::PrettyJson);
        check("apply -f - -j", Form::Json);
    }

    #[test]
    fn nothing_behind_two_hyphens_is_a_flag() {
        check("unpin -- -j", Form::Text);
        check("unpin --bogus -- -j", Form::Text);
        check("unpin -j -- -p", Form::Json);
        check("list --bpffs -- -j", Form::Text);
    }
}
