//! Reads the output of an iterator.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use rustix::io::Errno;

/// Reads one run of an iterator: an opened pin, or the result of `BPF_ITER_CREATE`.
///
/// The kernel returns `EAGAIN` in two cases and does not say which (kernel/bpf/bpf_iter.c, unchanged since 5.10).
/// `bpf_seq_read()` stops after a million elements for which nothing was printed (`MAX_ITER_OBJECTS`), and the next read
/// continues after them. If a program returns 1, `bpf_iter_run_prog()` also returns `EAGAIN`, and the next read shows the
/// same element again: a program that always returns 1 for an element never gets past it. Only the number of `EAGAIN` in
/// a row tells the two cases apart.
#[derive(Debug)]
pub struct Reader<R = File> {
    run: R,
}

/// How many `EAGAIN` in a row are too many. They stand for ten thousand million silent elements, more
/// than twice as many as a map can have (its size is a u32). A program that always returns 1 gets
/// there in milliseconds.
const TRIES: u32 = 10_000;

/// The iterator never ends, because its program always returns 1 for an element.
#[derive(Debug, PartialEq, Eq)]
pub struct SameElement;

impl SameElement {
    /// The hint.
    pub fn hint(&self) -> String {
        "returning 1 asks the kernel to show the same element again: return 0 to go on to the next \
         one, also when nothing is printed"
            .to_owned()
    }
}

/// Why an iterator could not be read to its end.
#[derive(Debug)]
pub enum ReadError {
    /// Its program is at fault.
    SameElement(SameElement),
    /// The kernel or the file system returned an error.
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    /// [`Read`] returns no other error than [`io::Error`], which may hold a [`SameElement`].
    fn from(error: io::Error) -> Self {
        match error.downcast() {
            Ok(same) => Self::SameElement(same),
            Err(error) => Self::Io(error),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameElement(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::SameElement(error) => error.source(),
            Self::Io(error) => error.source(),
        }
    }
}

impl fmt::Display for SameElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the program returns 1 for the same element again and again")
    }
}

impl Error for SameElement {}

const E2BIG: i32 = Errno::TOOBIG.raw_os_error();
const EOPNOTSUPP: i32 = Errno::OPNOTSUPP.raw_os_error();

impl<R: Read> Reader<R> {
    /// A reader of a run from which nothing was read yet.
    pub fn new(run: R) -> Self {
        Self { run }
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..TRIES {
            match self.run.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                answer => return answer.map_err(explained),
            }
        }
        Err(io::Error::other(SameElement))
    }
}

fn explained(error: io::Error) -> io::Error {
    let why = match error.raw_os_error() {
        Some(E2BIG) => "the kernel takes no more than 32 KiB for one element",
        Some(EOPNOTSUPP) => {
            "an iterator of this kind cannot go on after its first buffer, about 32 KiB: have it \
             print less"
        }
        _ => return error,
    };
    io::Error::other(format!("{why} ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of one read.
    #[derive(Clone, Copy)]
    enum Answer {
        /// `EAGAIN`, this many times.
        Again(u32),
        Bytes(&'static str),
        Fails(i32),
    }

    use Answer::{Again, Bytes, Fails};

    /// A run that returns these, and then ends.
    struct Kernel(Vec<Answer>);

    impl Read for Kernel {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            const EAGAIN: i32 = Errno::AGAIN.raw_os_error();
            match self.0.first_mut() {
                Some(Again(times @ 1..)) => {
                    *times -= 1;
                    Err(io::Error::from_raw_os_error(EAGAIN))
                }
                Some(Again(0)) => {
                    self.0.remove(0);
                    self.read(buffer)
                }
                Some(Bytes(text)) => {
                    let length = text.as_bytes().read(buffer)?;
                    self.0.remove(0);
                    Ok(length)
                }
                Some(Fails(errno)) => Err(io::Error::from_raw_os_error(*errno)),
                None => Ok(0),
            }
        }
    }

    /// Checks what is read from such a run, and the error at its end.
    #[track_caller]
    fn check(answers: &[Answer], output: &str, error: &str) {
        let mut read = String::new();
        let end = Reader::new(Kernel(answers.to_vec())).read_to_string(&mut read);
        let said = end.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!((read.as_str(), said.as_str()), (output, error));
    }

    const SAME: &str = "the program returns 1 for the same element again and again";

    #[test]
    fn silent_elements_are_passed() {
        check(&[], "", "");
        check(&[Again(1), Bytes("a"), Again(2), Bytes("b"), Again(3)], "ab", "");
        check(&[Again(TRIES - 1)], "", "");
    }

    #[test]
    fn a_byte_is_progress() {
        let almost = Again(TRIES - 1);
        check(&[almost, Bytes("a"), almost, Bytes("b"), almost], "ab", "");
    }

    #[test]
    fn the_same_element_for_ever_is_an_error() {
        check(&[Again(TRIES)], "", SAME);
        check(&[Bytes("a"), Again(TRIES), Bytes("b")], "a", SAME);
    }

    #[test]
    fn other_errors_end_it_at_once() {
        let too_large = "the kernel takes no more than 32 KiB for one element (Argument list too \
                         long (os error 7))";
        check(&[Bytes("a"), Fails(E2BIG)], "a", too_large);
        check(&[Again(1), Fails(5)], "", "Input/output error (os error 5)");
    }
}
