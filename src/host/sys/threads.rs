//! The same work on many things, on as many threads as there are cores.

use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::thread::{
    UnshareFlags, sched_getaffinity, sched_getcpu, sched_setaffinity, unshare_unsafe,
};

/// The items are divided into so many shares for each thread: a thread that is done early takes another one.
const SHARES: usize = 8;

/// Returns what `work` makes of each item, in their order. Up to `few` items are not worth starting threads for. On
/// one core, or if no thread can be started, the calling thread does everything.
///
/// `work` runs on threads that have descriptors of their own, if the system lets them: they see those that were
/// open before, and no other thread sees those that they open. So no result may hold a descriptor. With one table
/// of descriptors, the threads would wait for each other at each that they open or close: of 10,000 pins, two of
/// them saved 2 %, and with a table each 16 % (6.18).
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
    let core = sched_getcpu();
    let mut done = thread::scope(|scope| {
        let start = |_| {
            let run = || {
                leave(core);
                use_own_descriptors();
                take_all()
            };
            thread::Builder::new().spawn_scoped(scope, run).ok()
        };
        // If there may be no more threads (EAGAIN: `pids.max`, `TasksMax=`), those that there are do all of the work.
        let others: Vec<_> = (1..threads).map_while(start).collect();
        // They may have to run here before they can leave.
        thread::yield_now();
        let mut done = take_all();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(start, _)| *start);
    done.into_iter().flat_map(|(_, results)| results).collect()
}

/// Has this thread open and close descriptors in a table of its own, which begins as a copy of the shared one. If
/// that is not allowed, the thread keeps sharing it.
#[allow(unsafe_code)]
fn use_own_descriptors() {
    // SAFETY: the only caller is `map`, whose threads neither take descriptors that others have opened since nor
    // give any away: its results hold none.
    let _ = unsafe { unshare_unsafe(UnshareFlags::FILES) };
}

/// Has this thread run on another core than that one, if it may.
///
/// A thread begins on the core of the one that starts it, and in a virtual machine it often stays there until
/// the scheduler balances its queues: the host has told it that the other cores, which are halted, are not
/// running (`vcpu_is_preempted()`). Of two threads that looked at 1,000 pins for two milliseconds, one began
/// when the other was done (6.18, KVM).
fn leave(core: usize) {
    if let Ok(mut cores) = sched_getaffinity(None) {
        cores.unset(core);
        // If there is no other core, it stays.
        let _ = sched_setaffinity(None, &cores);
    }
}

/// Returns how many cores this process may use. To find out means to read files.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, Into::into))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn other_threads_leave_the_core_of_the_first() {
        let may_use = || sched_getaffinity(None).expect("any thread may ask").count();
        let here = (thread::current().id(), may_use());
        // None goes on before each has its item.
        let threads = cores().min(2);
        let all = Barrier::new(threads);
        let found = map(&[(), ()], 0, |()| {
            all.wait();
            (thread::current().id(), may_use())
        });
        let others = found.iter().filter(|found| **found != here);
        let left: Vec<u32> = others.map(|(_, cores)| here.1 - cores).collect();
        assert_eq!(left, vec![1; threads - 1], "of {}", here.1);
    }

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
