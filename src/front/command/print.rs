//! `schema`, `completions`, `man`: what the types and the command line say of themselves.

use std::fs;
use std::io::{self, Cursor};

use clap::CommandFactory as _;

use super::{Answer, Output, OutputOf};
use crate::front::cli::{Cli, CompletionsArgs, ManArgs, Schema, SchemaArgs};
use crate::front::errors::{Context as _, Error, Result};
use crate::front::man;
use crate::front::report::Report;
use crate::front::schema;
use iterctl_core::escaped::Escaped;

pub(super) fn schema(args: &SchemaArgs) -> Result<Answer> {
    let schema = match args.what {
        Schema::Manifest => schema::manifest(),
        Schema::Report => schema::report(),
    };
    let mut text = serde_json::to_vec_pretty(&schema).map_err(io::Error::from)?;
    text.push(b'\n');
    Ok(prints(text))
}

pub(super) fn completions(args: &CompletionsArgs) -> Answer {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "iterctl", &mut text);
    prints(text)
}

pub(super) fn man(args: &ManArgs) -> Result<Answer> {
    let pages = man::pages()?;
    if let Some(folder) = &args.dir {
        let shown = Escaped::new(folder);
        fs::create_dir_all(folder).with_context(|| format!("failed to make {shown}"))?;
        for page in &pages {
            let file = folder.join(&page.file);
            let shown = Escaped::new(&file);
            fs::write(&file, &page.text).with_context(|| format!("failed to write {shown}"))?;
        }
        let comment = format!("{} pages in {shown}", pages.len());
        return Ok(Answer::done(Report::new(comment)));
    }
    let name = &args.page;
    let is_meant = |page: &&man::Page| {
        let stem = page.file.rsplit_once('.').map_or(page.file.as_str(), |(stem, _)| stem);
        stem == name || stem.strip_prefix("iterctl-") == Some(name)
    };
    match pages.into_iter().find(|page| is_meant(&page)) {
        Some(page) => Ok(prints(page.text)),
        None => Err(Error::Usage(format!(
            "there is no page `{}`: it is `iterctl`, a command, or `iterctl.toml`",
            Escaped::new(name)
        ))),
    }
}

fn prints(text: Vec<u8>) -> Answer {
    let output = Output { text: Box::new(Cursor::new(text)), of: OutputOf::Own };
    Answer { output: Some(output), ..Answer::done(Report::new("")) }
}
