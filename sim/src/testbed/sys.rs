//! The kernel calls a testbed needs and the standard library does not offer, each behind a safe function.
//!
//! Sockets come back as [`UdpSocket`], whatever their family: the standard library's type for datagram sockets gives
//! safe send, receive and timeouts on any of them. `recv_from` understands the addresses of raw IP sockets; on packet
//! sockets use `send` and `recv`.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_uint};
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Moves the calling thread, and what it will start, into a network namespace.
pub fn enter_netns(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointer is passed; the descriptor is open for as long as it is borrowed.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Moves the calling thread, and what it will start, into a new, empty network namespace.
pub fn unshare_netns() -> io::Result<()> {
    // SAFETY: no pointer is passed, and the memory of the process stays shared.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// What to send to a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// A request to end.
    Term,
    /// The end.
    Kill,
}

/// Sends a signal to one process.
pub fn kill(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    assert!(pid > 1, "0 and below mean whole groups, and 1 is not ours");
    let signal = match signal {
        Signal::Term => libc::SIGTERM,
        Signal::Kill => libc::SIGKILL,
    };
    // SAFETY: no pointer is passed.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Has the kernel kill the process that `command` will start when the thread that starts it ends.
pub fn die_with_this_thread(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe functions may be called; prctl is a plain system call.
    unsafe {
        command.pre_exec(|| check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)).map(drop));
    }
}

/// A raw socket for ICMP, in the calling thread's namespace. What it receives begins with the IP header.
pub fn icmp_socket() -> io::Result<UdpSocket> {
    socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)
}

/// A raw socket for ICMPv6, in the calling thread's namespace. What it receives begins with the ICMPv6 header, and the
/// kernel fills in checksums.
pub fn icmp6_socket() -> io::Result<UdpSocket> {
    socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)
}

/// A packet socket that receives every frame that comes in on any device of the calling thread's namespace.
pub fn capture_socket() -> io::Result<UdpSocket> {
    let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, c_int::from(ALL_PROTOCOLS.to_be()))?;
    let yes: c_int = 1;
    // SAFETY: the option's value is a live c_int, and its size is passed along.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const yes).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    })?;
    Ok(socket)
}

/// A packet socket that sends on one device of the calling thread's namespace, and receives nothing.
pub fn injection_socket(device: &str) -> io::Result<UdpSocket> {
    let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    // SAFETY: all-zero bytes are a valid sockaddr_ll, a plain structure of integers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_ifindex = device_index(device)?;
    // SAFETY: the address is a live sockaddr_ll, and its size is passed along.
    check(unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
    })?;
    Ok(socket)
}

/// `ETH_P_ALL`, in host byte order.
const ALL_PROTOCOLS: u16 = libc::ETH_P_ALL as u16;

/// `SIOCETHTOOL` requests (linux/ethtool.h) that set one number.
const STXCSUM: u32 = 0x17;
const SSG: u32 = 0x19;
const STSO: u32 = 0x1f;
const SGSO: u32 = 0x24;

/// As `ethtool -K DEVICE tx off tso off gso off sg off`, in the calling thread's namespace.
///
/// Not every device has all four; those it lacks are as good as off.
pub fn offloads_off(device: &str) -> io::Result<()> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    for request in [STXCSUM, STSO, SGSO, SSG] {
        match ethtool_set(&socket, device, request, 0) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            other => other?,
        }
    }
    Ok(())
}

fn ethtool_set(socket: &UdpSocket, device: &str, request: u32, value: u32) -> io::Result<()> {
    let mut command = [request, value];
    // SAFETY: all-zero bytes are a valid ifreq, a plain structure of integers and null pointers.
    let mut ifreq: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = device.as_bytes();
    assert!(name.len() < ifreq.ifr_name.len(), "device names end with a zero byte: {device}");
    for (to, from) in ifreq.ifr_name.iter_mut().zip(name) {
        *to = c_char::from_ne_bytes([*from]);
    }
    ifreq.ifr_ifru.ifru_data = command.as_mut_ptr().cast();
    // SAFETY: the kernel reads the ifreq, and the struct ethtool_value (two u32) that it points to; both live here.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut ifreq) }).map(drop)
}

fn device_index(device: &str) -> io::Result<c_int> {
    let name = CString::new(device).map_err(io::Error::other)?;
    // SAFETY: the name is a live string that ends with a zero byte.
    let index: c_uint = unsafe { libc::if_nametoindex(name.as_ptr()) };
    match index {
        0 => Err(io::Error::last_os_error()),
        _ => c_int::try_from(index).map_err(io::Error::other),
    }
}

fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<UdpSocket> {
    // SAFETY: no pointer is passed.
    let descriptor = check(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the descriptor was just opened, and nothing else owns it.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(UdpSocket::from(owned))
}

/// The convention of system calls: a negative result means `errno`.
fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
