//! Proxies as they stand before clusters that cannot be reached otherwise: HTTP CONNECT and SOCKS5,
//! on the loopback, to places that only they know.

use base64::Engine;
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Names with ports, and where they lead to.
pub type Places = BTreeMap<String, SocketAddr>;

enum Speaks {
    /// With the credentials `user:password` that it asks for.
    Connect(String),
    Socks5,
}

/// While it lives; dropping it ends it and all connections through it.
pub struct Proxy {
    pub address: SocketAddr,
    carried: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

struct Known {
    places: Places,
    speaks: Speaks,
    carried: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// An HTTP proxy that carries what comes with these credentials.
    pub async fn http(places: Places, credentials: &str) -> Self {
        Self::start(places, Speaks::Connect(credentials.to_owned())).await
    }

    pub async fn socks5(places: Places) -> Self {
        Self::start(places, Speaks::Socks5).await
    }

    async fn start(places: Places, speaks: Speaks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let carried = Arc::default();
        let known = Arc::new(Known {
            places,
            speaks,
            carried: Arc::clone(&carried),
        });
        let task = tokio::spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let known = Arc::clone(&known);
                connections.spawn(async move {
                    // Whoever came sees that it is closed.
                    let _ = known.carry(client).await;
                });
            }
        });
        Self {
            address,
            carried,
            task,
        }
    }

    /// Where the connections went that it carried, as it was asked for.
    pub fn carried(&self) -> Vec<String> {
        let carried = self.carried.lock();
        carried.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Known {
    async fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        let asked = match &self.speaks {
            Speaks::Connect(credentials) => connect(&mut client, credentials).await?,
            Speaks::Socks5 => socks5(&mut client).await?,
        };
        let Some(place) = self.places.get(&asked) else {
            return Err(io::Error::other(asked));
        };
        let mut server = TcpStream::connect(place).await?;
        let carried = self.carried.lock();
        carried.unwrap_or_else(PoisonError::into_inner).push(asked);
        client
            .write_all(match &self.speaks {
                Speaks::Connect(_) => b"HTTP/1.1 200 Connection established\r\n\r\n",
                Speaks::Socks5 => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            })
            .await?;
        copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }
}

/// What a CONNECT asks for, if it may.
async fn connect(client: &mut TcpStream, credentials: &str) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let engine = base64::engine::general_purpose::STANDARD;
    let wanted = format!("basic {}", engine.encode(credentials));
    let may = head.lines().any(|line| {
        let header = line.split_once(": ");
        header.is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("proxy-authorization") && value.eq_ignore_ascii_case(&wanted)
        })
    });
    if !may {
        let refused = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        client.write_all(refused).await?;
        return Err(io::Error::other("not with these credentials"));
    }
    let mut words = head.split(' ');
    let asked = words
        .next()
        .filter(|verb| *verb == "CONNECT")
        .and(words.next());
    asked
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other(head))
}

/// What a SOCKS5 client without credentials asks for, by name.
async fn socks5(client: &mut TcpStream) -> io::Result<String> {
    let [_version, methods] = read(client).await?;
    client
        .read_exact(&mut vec![0; usize::from(methods)])
        .await?;
    client.write_all(&[5, 0]).await?;
    let [_, command, _, kind, length] = read(client).await?;
    if (command, kind) != (1, 3) {
        return Err(io::Error::other("no connection to a name"));
    }
    let mut name = vec![0; usize::from(length)];
    client.read_exact(&mut name).await?;
    let port = u16::from_be_bytes(read(client).await?);
    Ok(format!("{}:{port}", String::from_utf8_lossy(&name)))
}

async fn read<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}
