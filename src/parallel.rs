//! The same work on many things, on as many threads as there are cores.

use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::kernel;

/// So many shares of the items for each thread: whoever is done early takes another one.
const SHARES: usize = 8;

/// What `work` makes of each item, in their order. Up to `few` items are not worth starting threads for. On
/// one core, everything is done in order.
///
/// `work` runs on threads that have descriptors of their own, where the system lets them: they see those
/// that were open before, and nobody sees those that they open. So no result may hold a descriptor. With
/// one table of descriptors, the threads would wait for each other at each that they open or close: two
/// looked at 1,000 pins in 2.4 ms, and one in 2.8 ms (6.18).
pub fn map<T: Sync, R: Send>(items: &[T], few: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = if items.len() > few { cores().min(items.len()) } else { 1 };
    if threads == 1 {
        return items.iter().map(work).collect();
    }
    let share = (items.len() / (threads * SHARES)).max(1);
    let next = AtomicUsize::new(0);
    let take = || {
        let start = next.fetch_add(share, Ordering::Relaxed);
        let items = items.get(start..)?;
        let items = items.get(..share).unwrap_or(items);
        (!items.is_empty()).then(|| (start, items.iter().map(&work).collect::<Vec<R>>()))
    };
    let take_all = || std::iter::from_fn(take).collect::<Vec<_>>();
    let mut done = thread::scope(|scope| {
        let start = |_| {
            scope.spawn(|| {
                kernel::use_own_descriptors();
                take_all()
            })
        };
        let others: Vec<_> = (1..threads).map(start).collect();
        let mut done = take_all();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(start, _)| *start);
    done.into_iter().flat_map(|(_, results)| results).collect()
}

/// How many there are for this process. To find out means to read files.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for number in [1, 2, 3, 10, 1000] {
            let items: Vec<usize> = (0..number).collect();
            let doubled: Vec<usize> = items.iter().map(|number| number * 2).collect();
            for few in [0, 1000] {
                assert_eq!(map(&items, few, |number| number * 2), doubled);
            }
        }
    }
}
