//! Moves bytes between a stream and a session, both ways at once: a peer that does not read must not keep us from
//! reading, or both would wait for each other. Start at [`Pipe::turn`].

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

/// Fewest and most bytes taken from a peer at once. Most peers say little; what one says much is taken in larger pieces.
const READ_MIN: usize = 2 * 1024;
const READ_MAX: usize = 64 * 1024;

/// Both halves of a stream.
pub(super) struct Pipe<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    buffer: Vec<u8>,
    /// As much as the buffer should hold next time.
    next: usize,
    unflushed: bool,
}

/// What a turn did.
pub(super) enum Turn<'a> {
    /// These bytes came.
    Read(&'a [u8]),
    /// So many bytes went.
    Wrote(usize),
    /// What went is on its way.
    Flushed,
    /// The peer closed.
    Closed,
    /// The stream failed.
    Failed(io::Error),
}

impl<S: AsyncRead + AsyncWrite> Pipe<S> {
    pub fn new(stream: S) -> Pipe<S> {
        let (reader, writer) = tokio::io::split(stream);
        Pipe { reader, writer, buffer: vec![0; READ_MIN], next: READ_MIN, unflushed: false }
    }

    /// Does one thing: writes some of `output`, or reads. May be dropped at any time; nothing is lost then.
    pub async fn turn(&mut self, output: &[u8]) -> Turn<'_> {
        let Pipe { reader, writer, buffer, next, unflushed } = self;
        if buffer.len() != *next {
            *buffer = vec![0; *next];
        }
        let writes = !output.is_empty() || *unflushed;
        let write = async {
            match output {
                [] => writer.flush().await.map(|()| 0),
                some => writer.write(some).await,
            }
        };
        tokio::select! {
            biased;
            written = write, if writes => match written {
                Ok(0) if output.is_empty() => {
                    *unflushed = false;
                    Turn::Flushed
                }
                Ok(0) => Turn::Closed,
                Ok(count) => {
                    *unflushed = true;
                    Turn::Wrote(count)
                }
                Err(error) => Turn::Failed(error),
            },
            read = reader.read(buffer) => match read {
                Ok(0) => Turn::Closed,
                Ok(count) => {
                    *next = next_length(buffer.len(), count);
                    Turn::Read(&buffer[..count])
                }
                Err(error) => Turn::Failed(error),
            },
        }
    }

    /// Says goodbye; ovsdb-server logs a warning about peers that just vanish. Not waited for if it would take long.
    pub async fn close(mut self) {
        // The connection is over whether the peer hears of it or not.
        let _ = self.writer.shutdown().await;
    }
}

/// How long a buffer should be after so many bytes were read into one of this length.
fn next_length(length: usize, read: usize) -> usize {
    match read {
        read if read == length => (length * 4).min(READ_MAX),
        read if read < length / 4 => READ_MIN,
        _ => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_as_long_as_its_peer_talks() {
        assert_eq!(next_length(READ_MIN, 10), READ_MIN);
        assert_eq!(next_length(READ_MIN, READ_MIN), 4 * READ_MIN);
        assert_eq!(next_length(READ_MAX, READ_MAX), READ_MAX);
        assert_eq!(next_length(READ_MAX, READ_MAX / 2), READ_MAX);
        assert_eq!(next_length(READ_MAX, 100), READ_MIN);
    }
}
