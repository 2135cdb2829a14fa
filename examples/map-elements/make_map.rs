//! Creates the hash map that the demo walks, and pins it: `make-map FILE [COUNT]`.
//!
//! The keys are 1 to COUNT (default 5); each value is the square of its key.

use anyhow::Context as _;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType, libbpf_sys};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().context("usage: make-map FILE [COUNT]")?;
    let count: u32 = args.next().map_or(Ok(5), |count| count.parse())?;

    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let mut map = MapHandle::create(MapType::Hash, Some("iterctl_demo"), 4, 8, 1024, &opts)?;
    for key in 1..=count {
        let value = u64::from(key).pow(2);
        map.update(&key.to_ne_bytes(), &value.to_ne_bytes(), MapFlags::ANY)?;
    }
    map.pin(&path).with_context(|| format!("failed to pin the map at {path}"))
}
