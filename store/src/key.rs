//! The seal key's file: 32 bytes in hex or base64. `muster-dev` makes it; it is only read here.

use crate::SealKey;
use base64::Engine;
use std::path::Path;

/// There is no key: nothing can be sealed or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "read the key file {path}: {source}; name another with --key-file or MUSTER_KEY_FILE, or make one with `openssl rand -hex 32`"
    )]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    #[error(
        "the key file {path} does not hold 32 bytes in hex or base64; make one with `openssl rand -hex 32`"
    )]
    Malformed { path: String },
}

impl SealKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// There is no such file, or it holds something else; the value never appears.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let named = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| KeyError::Unreadable {
            path: named(),
            source,
        })?;
        decode(text.trim())
            .map(Self)
            .ok_or_else(|| KeyError::Malformed { path: named() })
    }
}

fn decode(text: &str) -> Option<[u8; 32]> {
    if text.len() == 64 && text.is_ascii() {
        let mut key = [0; 32];
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        return Some(key);
    }
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()?
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn a_key_is_read_from_hex_and_base64_and_nothing_else() {
        let ones = Some([0x11; 32]);
        for (text, key) in [
            ("1".repeat(64), ones),
            (
                "ERERERERERERERERERERERERERERERERERERERERERE=".to_owned(),
                ones,
            ),
            ("g".repeat(64), None),
            ("é".repeat(32), None),
            ("11".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(decode(&text), key, "{text}");
        }
    }
}
