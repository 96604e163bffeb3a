//! A guest's end of its wire: puts any frame on it, and keeps what arrives.

use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::{Doing, Result};
use super::frame::Frame;
use super::ident::Mac;
use super::netns::Netns;
use super::sys;

/// Sends a frame as it is from a device of a namespace.
///
/// # Errors
/// If there is no such device, or the frame is larger than it can send.
pub fn inject(namespace: &Netns, device: &str, frame: &Frame) -> Result<()> {
    let doing = || format!("sending a frame from {device} in {}", namespace.name());
    let socket = namespace.run(|| sys::injection_socket(device))?.doing(doing)?;
    socket.send(frame.bytes()).doing(doing).map(drop)
}

/// Keeps the frames that come in to a namespace and pass a filter, until it is stopped.
///
/// It sees all devices but loopback, so it goes on when a guest migrates and gets a new one. What the guest itself
/// sends is not shown.
pub struct Capture {
    frames: Receiver<Frame>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Capture {
    /// How often the background thread looks whether it shall stop.
    const LOOK: Duration = Duration::from_millis(20);

    /// Starts; frames that arrive from now on count.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn start(namespace: &Netns, filter: impl Fn(&Frame) -> bool + Send + 'static) -> Result<Self> {
        let doing = || format!("capturing in {}", namespace.name());
        let socket = namespace.run(sys::capture_socket)?.doing(doing)?;
        socket.set_read_timeout(Some(Self::LOOK)).doing(doing)?;
        let (found, frames) = channel();
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || watch(&socket, &filter, &found, &stopped));
        Ok(Self { frames, stop, thread })
    }

    /// The next frame, if one arrives in time.
    pub fn next(&self, patience: Duration) -> Option<Frame> {
        self.frames.recv_timeout(patience).ok()
    }

    /// Goes on for this long, then ends; all frames that [`Capture::next`] has not given out, oldest first.
    pub fn stop_after(self, more: Duration) -> Vec<Frame> {
        let until = Instant::now() + more;
        let mut kept = Vec::new();
        while let Ok(frame) = self.frames.recv_timeout(until.saturating_duration_since(Instant::now())) {
            kept.push(frame);
        }
        drop(self.stop);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        kept.extend(self.frames.try_iter());
        kept
    }
}

fn watch(socket: &UdpSocket, filter: &dyn Fn(&Frame) -> bool, found: &Sender<Frame>, stop: &Receiver<()>) {
    let mut buffer = vec![0; 65536];
    while stop.try_recv() != Err(TryRecvError::Disconnected) {
        // A timeout, or a device that went down in a migration: both pass.
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let frame = Frame::from_wire(&buffer[..length]).filter(|frame| !is_loopback(frame) && filter(frame));
        // When nobody wants frames any more, the stop signal is on its way.
        if let Some(frame) = frame {
            let _ = found.send(frame);
        }
    }
}

/// The loopback device has no addresses, and shows zeros for them.
fn is_loopback(frame: &Frame) -> bool {
    const ZERO: Mac = Mac([0; 6]);
    frame.source() == ZERO && frame.destination() == ZERO
}
