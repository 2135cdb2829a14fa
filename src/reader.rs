//! What an iterator prints, as it comes.

use std::fs::File;
use std::io::{self, Read};

/// Reads a run of an iterator.
///
/// The kernel gives up with `EAGAIN` after a million objects without a word (`bpf_seq_read()`,
/// `MAX_ITER_OBJECTS` in kernel/bpf/bpf_iter.c), and goes on where it was when it is asked again.
#[derive(Debug)]
pub struct Reader {
    run: File,
}

const E2BIG: i32 = 7;
const EOPNOTSUPP: i32 = 95;

impl Reader {
    /// Of an opened pin, or of a run that was made with `BPF_ITER_CREATE`.
    pub fn new(run: File) -> Self {
        Self { run }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let error = match self.run.read(buffer) {
                Ok(length) => return Ok(length),
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::WouldBlock {
                continue;
            }
            return Err(match error.raw_os_error() {
                Some(E2BIG) => {
                    explained(&error, "the kernel takes no more than 32 KiB for one element")
                }
                Some(EOPNOTSUPP) => explained(
                    &error,
                    "an iterator of this kind cannot go on after its first buffer, about 32 KiB: \
                     have it print less",
                ),
                _ => error,
            });
        }
    }
}

fn explained(error: &io::Error, why: &str) -> io::Error {
    io::Error::other(format!("{why} ({error})"))
}
