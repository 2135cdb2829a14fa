//! How long pinning takes, compared with a loop of bpftool and with the system calls that no program can
//! avoid: `make bench`.
//!
//! Every case has a bpffs of its own. The table goes to standard output and, with a plot, into
//! docs/performance.md. Times are shown next to their targets, but not asserted: they depend on the
//! machine. If `ITERCTL_QUICK` is set, everything is run only twice, to see that it works, and the page and
//! its plot are written to target/tmp/.

#[path = "shared/own_bpffs.rs"]
mod own_bpffs;

/// Not at the root, so that the modules are looked for in `benches/pinning/`.
mod pinning {
    mod cold;
    mod idle;
    mod machine;
    mod memory;
    mod page;
    mod plot;
    mod scene;
    mod small;
    mod table;
    mod timing;
    mod tools;
    mod unchanged;

    use tools::Tools;

    pub(crate) fn run() -> anyhow::Result<()> {
        let machine = machine::describe()?;
        let tools = Tools::build()?;
        let (mut rows, cold) = cold::measure(&tools)?;
        let (more, unchanged) = unchanged::measure(&tools, cold.one_bpftool)?;
        rows.extend(more);
        rows.extend(memory::measure(&tools)?);
        rows.extend(small::measure(&tools)?);
        rows.extend(idle::measure(&tools)?);
        let curves: Vec<_> = cold.curves.into_iter().chain(unchanged).collect();
        page::write(&tools, &machine, &rows, &curves)
    }
}

fn main() -> anyhow::Result<()> {
    pinning::run()
}
