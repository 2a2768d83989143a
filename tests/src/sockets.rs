//! Whom processes speak to, as the kernel knows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

const LISTENS: &str = "0A";

/// One socket of a process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    pub protocol: &'static str,
    pub local: SocketAddr,
    /// Of port 0 where it is connected to nobody.
    pub remote: SocketAddr,
    listens: bool,
}

impl Socket {
    /// Nobody beyond this machine can be at its other end.
    pub fn stays_here(&self) -> bool {
        let is_here = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        match self.remote.port() {
            // Waits for whoever comes, or, of UDP, may send to anybody.
            0 => is_here(self.local) || (self.protocol.starts_with("tcp") && !self.listens),
            _ => is_here(self.remote),
        }
    }
}

/// The TCP and UDP sockets that these processes have just now, each with its process.
pub fn of(pids: &[u32]) -> BTreeSet<(u32, Socket)> {
    let mut owners: BTreeMap<u64, u32> = BTreeMap::new();
    for pid in pids {
        // A process that ends meanwhile has none.
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for file in files.flatten() {
            let target = fs::read_link(file.path()).unwrap_or_default();
            let name = target.to_string_lossy().into_owned();
            let number = name.strip_prefix("socket:[");
            let number = number.and_then(|rest| rest.strip_suffix(']')?.parse().ok());
            if let Some(number) = number {
                owners.insert(number, *pid);
            }
        }
    }
    let mut found = BTreeSet::new();
    for protocol in ["tcp", "tcp6", "udp", "udp6"] {
        let table = fs::read_to_string(format!("/proc/net/{protocol}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            if let Some((number, socket)) = parse(protocol, line)
                && let Some(pid) = owners.get(&number)
            {
                found.insert((*pid, socket));
            }
        }
    }
    found
}

/// A line of `/proc/net/tcp` and its like: number, local, remote, state, …, inode.
fn parse(protocol: &'static str, line: &str) -> Option<(u64, Socket)> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let socket = Socket {
        protocol,
        local: address(columns.get(1)?)?,
        remote: address(columns.get(2)?)?,
        listens: *columns.get(3)? == LISTENS,
    };
    Some((columns.get(9)?.parse().ok()?, socket))
}

/// `0100007F:1F90`: words of the machine's byte order, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(8 * at..8 * at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        _ => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            bytes.copy_from_slice(words.as_flattened());
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    fn stays_here(protocol: &'static str, local: &str, remote: &str, state: &str) -> bool {
        let line = format!("   0: {local} {remote} {state} 0:0 00:00 0 0 0 77 1");
        let (number, socket) = parse(protocol, &line).unwrap();
        assert_eq!(number, 77);
        socket.stays_here()
    }

    #[test]
    fn what_could_leave_the_machine_is_told_from_what_cannot() {
        let (here, anybody, far) = ("0100007F:1F90", "00000000:0000", "08080808:0035");
        assert!(stays_here("tcp", here, anybody, LISTENS));
        assert!(stays_here("tcp", here, here, "01"));
        assert!(!stays_here("tcp", "00000000:1F90", anybody, LISTENS));
        assert!(!stays_here("tcp", here, far, "02"));
        assert!(stays_here("udp", here, anybody, "07"));
        assert!(!stays_here("udp", "00000000:1F90", anybody, "07"));
        let mapped = "0000000000000000FFFF00000100007F:1F90";
        let wild = "00000000000000000000000000000000:1F90";
        let nobody = "00000000000000000000000000000000:0000";
        assert!(stays_here("tcp6", mapped, nobody, LISTENS));
        assert!(!stays_here("tcp6", wild, nobody, LISTENS));
    }
}
