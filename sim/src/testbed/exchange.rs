//! One exchange of data between two guests over UDP or TCP: there, and back whole.
//!
//! It shows what ping does not: wrong checksums, a firewall that treats protocols differently, packets too large.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Doing, Result};
use super::netns::Netns;

/// What is sent, and to where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// An address of the answering guest, or one that is translated to it.
    pub to: SocketAddr,
    /// How much is sent, in bytes; UDP sends it as one packet.
    pub size: usize,
    /// When to give up.
    pub patience: Duration,
}

impl Exchange {
    /// Sends one UDP packet from a namespace; another sends it back. How long that took, `None` if it never came back.
    ///
    /// # Errors
    /// If a namespace cannot be entered, or the port is in use in the answering one.
    pub fn udp(&self, from: &Netns, answering: &Netns) -> Result<Option<Duration>> {
        let server = answering.run(|| UdpSocket::bind(any(self.to)))?.doing(|| self.listening(answering))?;
        server.set_read_timeout(Some(POLL)).doing(|| self.listening(answering))?;
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| echo_datagrams(&server, &done));
            let result = from.run(|| self.udp_round_trip());
            done.store(true, Ordering::Relaxed);
            result
        })
    }

    /// Connects by TCP from a namespace to another, which sends back what it gets. How long all of that took, `None`
    /// if it did not come to an end or was refused.
    ///
    /// # Errors
    /// If a namespace cannot be entered, or the port is in use in the answering one.
    pub fn tcp(&self, from: &Netns, answering: &Netns) -> Result<Option<Duration>> {
        let server = answering.run(|| TcpListener::bind(any(self.to)))?.doing(|| self.listening(answering))?;
        server.set_nonblocking(true).doing(|| self.listening(answering))?;
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| echo_stream(&server, &done, self.patience));
            let result = from.run(|| self.tcp_round_trip());
            done.store(true, Ordering::Relaxed);
            result
        })
    }

    fn udp_round_trip(&self) -> Option<Duration> {
        let start = Instant::now();
        let data = self.data();
        let outcome = || -> io::Result<Vec<u8>> {
            let socket = UdpSocket::bind(any(SocketAddr::new(self.to.ip(), 0)))?;
            socket.set_read_timeout(Some(self.patience))?;
            socket.connect(self.to)?;
            socket.send(&data)?;
            let mut answer = vec![0; data.len() + 1];
            let length = socket.recv(&mut answer)?;
            answer.truncate(length);
            Ok(answer)
        };
        outcome().ok().filter(|answer| *answer == data).map(|_| start.elapsed())
    }

    fn tcp_round_trip(&self) -> Option<Duration> {
        let start = Instant::now();
        let data = self.data();
        let outcome = || -> io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect_timeout(&self.to, self.patience)?;
            stream.set_read_timeout(Some(self.patience))?;
            stream.set_write_timeout(Some(self.patience))?;
            let mut answer = Vec::with_capacity(data.len());
            let mut buffer = [0; CHUNK];
            // One chunk at a time: whoever sends all before it reads may wait for somebody who does the same.
            for chunk in data.chunks(CHUNK) {
                stream.write_all(chunk)?;
                stream.read_exact(&mut buffer[..chunk.len()])?;
                answer.extend(&buffer[..chunk.len()]);
            }
            Ok(answer)
        };
        outcome().ok().filter(|answer| *answer == data).map(|_| start.elapsed())
    }

    /// Bytes of which no stretch is like another.
    fn data(&self) -> Vec<u8> {
        (0..self.size).map(|i| (i * 31 + i / 251) as u8).collect()
    }

    fn listening(&self, namespace: &Netns) -> String {
        format!("listening on port {} in {}", self.to.port(), namespace.name())
    }
}

/// How much TCP has under way, in bytes.
const CHUNK: usize = 16 * 1024;

/// How often the answering side looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(10);

/// All addresses of the same family, same port.
fn any(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, address.port())
}

fn echo_datagrams(socket: &UdpSocket, done: &AtomicBool) {
    let mut buffer = vec![0; 65536];
    while !done.load(Ordering::Relaxed) {
        // Without an answer the other side gives up, and that is its result.
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], peer);
        }
    }
}

fn echo_stream(listener: &TcpListener, done: &AtomicBool, patience: Duration) {
    while !done.load(Ordering::Relaxed) {
        match listener.accept() {
            // When it breaks the other side sees that, and that is its result.
            Ok((stream, _)) => drop(echo_all(stream, patience)),
            Err(_) => thread::sleep(POLL),
        }
    }
}

fn echo_all(mut stream: TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut buffer = [0; CHUNK];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length])?;
    }
}
