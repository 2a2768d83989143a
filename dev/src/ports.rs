//! Ports: the usual one, else a free one; once chosen, kept.

use crate::folder::stacks;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    collections::HashMap,
    fs::{self, File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

/// How long a kept port is waited for: whoever had it before may still be dying.
const HANDOVER: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the endpoints of a stack are called and where they usually are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Grpc,
    Http,
    Temporal,
    TemporalUi,
}

impl Port {
    pub fn usual(self) -> u16 {
        match self {
            Self::Grpc => 7443,
            Self::Http => 7080,
            Self::Temporal => 7233,
            Self::TemporalUi => 8233,
        }
    }
}

/// The ports of a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temporal: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temporal_ui: Option<u16>,
}

impl Ports {
    fn kept(&mut self, port: Port) -> &mut Option<u16> {
        match port {
            Port::Grpc => &mut self.grpc,
            Port::Http => &mut self.http,
            Port::Temporal => &mut self.temporal,
            Port::TemporalUi => &mut self.temporal_ui,
        }
    }

    /// The kept port, else the usual one if it is free, else any; kept from now on.
    pub fn choose(&mut self, port: Port, machine: &impl Machine) -> std::io::Result<u16> {
        let taken: Vec<u16> = [self.grpc, self.http, self.temporal, self.temporal_ui]
            .into_iter()
            .flatten()
            .collect();
        let kept = self.kept(port);
        let chosen = match *kept {
            Some(kept) if machine.becomes_free(kept) => kept,
            Some(_) => machine.any()?,
            None => {
                let usual = port.usual();
                if !taken.contains(&usual) && machine.free(usual) {
                    usual
                } else {
                    machine.any()?
                }
            }
        };
        *kept = Some(chosen);
        Ok(chosen)
    }
}

/// Which ports are free; the loopback in earnest, a list in tests.
pub trait Machine {
    fn free(&self, port: u16) -> bool;
    fn becomes_free(&self, port: u16) -> bool;
    fn any(&self) -> std::io::Result<u16>;
}

/// This machine's loopback. A port that was found free is claimed by a lock as long as this value
/// lives: between the choice and the child that binds it, another stack must not choose it too.
#[derive(Debug, Default)]
pub struct Loopback {
    claims: RefCell<HashMap<u16, File>>,
}

/// Below the ports that the kernel gives to outgoing connections, so that a kept one stays free.
const RANGE: std::ops::Range<u16> = 10_000..32_000;
const TRIES: usize = 1_000;

impl Loopback {
    fn claim(&self, port: u16) -> bool {
        let mut claims = self.claims.borrow_mut();
        if claims.contains_key(&port) {
            return true;
        }
        let folder = stacks().join("ports");
        let file = fs::create_dir_all(&folder).and_then(|()| {
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.join(port.to_string()))
        });
        // Without a place for locks there are no claims.
        let Ok(file) = file else { return true };
        if file.try_lock().is_err() {
            return false;
        }
        claims.insert(port, file);
        true
    }
}

impl Machine for Loopback {
    fn free(&self, port: u16) -> bool {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && self.claim(port)
    }

    fn becomes_free(&self, port: u16) -> bool {
        let deadline = Instant::now() + HANDOVER;
        loop {
            if self.free(port) {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn any(&self) -> std::io::Result<u16> {
        for _ in 0..TRIES {
            let port = rand::rng().random_range(RANGE);
            if self.free(port) {
                return Ok(port);
            }
        }
        Err(std::io::Error::other("no free port was found"))
    }
}

/// `IP:PORT`, `:PORT` or `PORT`, on the loopback if no address is given.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = bare.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let text = text.replacen("localhost:", "127.0.0.1:", 1);
    let address: SocketAddr = text.parse().map_err(|_| {
        format!("{text:?} is no address; write IP:PORT, for example 127.0.0.1:7443")
    })?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{address} is not a loopback address; the embedded stack is for one machine"
        ));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    /// A machine on which these ports are taken; free ones are handed out from 9000.
    struct Taken(&'static [u16]);

    impl Machine for Taken {
        fn free(&self, port: u16) -> bool {
            !self.0.contains(&port)
        }
        fn becomes_free(&self, port: u16) -> bool {
            self.free(port)
        }
        fn any(&self) -> std::io::Result<u16> {
            Ok(9000)
        }
    }

    #[test]
    fn a_port_is_the_kept_one_then_the_usual_one_then_any() {
        let check = |kept: Option<u16>, taken: &'static [u16], chosen: u16| {
            let mut ports = Ports {
                grpc: kept,
                ..Ports::default()
            };
            assert_eq!(ports.choose(Port::Grpc, &Taken(taken)).unwrap(), chosen);
            assert_eq!(ports.grpc, Some(chosen), "kept");
        };
        check(None, &[], 7443);
        check(None, &[7443], 9000);
        check(Some(8000), &[7443], 8000);
        check(Some(8000), &[8000], 9000);
    }

    #[test]
    fn a_usual_port_that_is_kept_for_something_else_is_left_alone() {
        let mut ports = Ports {
            http: Some(7443),
            ..Ports::default()
        };
        assert_eq!(ports.choose(Port::Grpc, &Taken(&[])).unwrap(), 9000);
    }

    #[test]
    fn a_port_chosen_by_one_stack_is_not_chosen_by_another_before_it_is_bound() {
        let (one, other) = (Loopback::default(), Loopback::default());
        let port = one.any().unwrap();
        assert!(one.free(port) && !other.free(port));
        drop(one);
        assert!(other.free(port));
    }

    #[test]
    fn addresses_are_on_the_loopback() {
        for (text, address) in [
            ("7443", "127.0.0.1:7443"),
            (":0", "127.0.0.1:0"),
            ("localhost:1", "127.0.0.1:1"),
            ("[::1]:2", "[::1]:2"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), address);
        }
        assert!(parse_address("0.0.0.0:1").unwrap_err().contains("loopback"));
        assert!(parse_address("nonsense").unwrap_err().contains("IP:PORT"));
    }
}
