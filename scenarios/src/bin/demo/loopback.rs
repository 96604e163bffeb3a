//! The loopback as the network of simulated hosts. Start at [`Loopback`].

use selvedge_net::runtime::{Moment, Runtime, Tokio};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

tokio::task_local! {
    /// The address of the simulated host that a task runs on.
    pub static HOST: IpAddr;
}

/// The production runtime, but that tasks of a simulated host connect from its own address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loopback;

impl Runtime for Loopback {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn now() -> Moment {
        Tokio::now()
    }

    fn wall() -> SystemTime {
        Tokio::wall()
    }

    fn sleep_until(at: Moment) -> impl Future<Output = ()> + Send {
        Tokio::sleep_until(at)
    }

    fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        match HOST.try_with(|host| *host) {
            Ok(host) => Tokio::spawn(name, HOST.scope(host, task)),
            Err(_) => Tokio::spawn(name, task),
        }
    }

    fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> + Send {
        Tokio::blocking(work)
    }

    fn random(out: &mut [u8]) {
        Tokio::random(out);
    }

    fn listen(at: SocketAddr) -> impl Future<Output = io::Result<TcpListener>> + Send {
        Tokio::listen(at)
    }

    async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Ok(host) = HOST.try_with(|host| *host) {
            socket.bind(SocketAddr::new(host, 0))?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
