//! RLIMIT_MEMLOCK: kernels before 5.11 count BPF memory against it, and later ones against the cgroup.

use iterctl_core::feature::Feature;

use super::needs::has;
use super::sandbox::{ITERCTL, Sandbox, entry};

#[kernel_test]
fn the_limit_is_raised_if_the_kernel_uses_it() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    sandbox.run("prlimit", &format!("--memlock=0 {ITERCTL} apply -f iters.toml")).exits(0);
}

#[kernel_test]
fn a_limit_that_may_not_be_raised_is_reported() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let words =
        format!("--memlock=0 setpriv --bounding-set=-sys_resource {ITERCTL} apply -f iters.toml");
    let run = sandbox.run("prlimit", &words);
    if has(Feature::MemoryCgroup) {
        run.exits(0);
    } else {
        run.exits(1)
            .says("the limit on locked memory is too low")
            .says("hint: raise RLIMIT_MEMLOCK, for instance with `ulimit -l unlimited`")
            .says("nothing was changed");
        assert_eq!(sandbox.paths(), [""; 0]);
    }
}
