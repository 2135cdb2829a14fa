//! The same work on many things, on as many threads as there are cores.

use std::thread;

use rayon::prelude::*;

/// What `work` makes of each item, in their order. Up to `few` items are not worth starting threads for. On
/// one core, everything is done in order.
pub fn map<T: Sync, R: Send>(items: &[T], few: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let has_several_cores = || thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    if items.len() > few && has_several_cores() {
        items.par_iter().map(&work).collect()
    } else {
        items.iter().map(work).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        for few in [0, 1000] {
            assert_eq!(
                map(&items, few, |number| number * 2),
                (0..2000).step_by(2).collect::<Vec<_>>()
            );
        }
    }
}
