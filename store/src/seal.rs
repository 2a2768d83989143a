//! What is kept secret at rest: AES-256-GCM with a random nonce, and what it belongs to as
//! associated data, so that a sealed value cannot be moved to another place.

use crate::{Result, SealKey, StoreError};
use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};

/// Bytes of the nonce, which stands before the sealed text.
const NONCE: usize = 12;

impl SealKey {
    pub(crate) fn seal(&self, what: &str, open: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload {
            msg: open,
            aad: what.as_bytes(),
        };
        let sealed = self
            .cipher()
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| StoreError::Db(format!("seal {what}").into()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// # Errors
    /// [`StoreError::WrongKey`] if the key, the place or the bytes are not those of the sealing.
    pub(crate) fn unseal(&self, what: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let wrong = || StoreError::WrongKey(what.to_owned());
        let (nonce, text) = sealed.split_at_checked(NONCE).ok_or_else(wrong)?;
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| wrong())?;
        let payload = Payload {
            msg: text,
            aad: what.as_bytes(),
        };
        self.cipher()
            .decrypt(&Nonce::from(nonce), payload)
            .map_err(|_| wrong())
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.0.into())
    }
}

/// Makes text small before it is sealed or stored.
pub(crate) fn compress(text: &str) -> Result<Vec<u8>> {
    zstd::encode_all(text.as_bytes(), 3).map_err(|error| StoreError::Db(Box::new(error)))
}

pub(crate) fn decompress(bytes: &[u8]) -> Result<String> {
    let open = zstd::decode_all(bytes).map_err(|error| StoreError::Db(Box::new(error)))?;
    String::from_utf8(open).map_err(|error| StoreError::Db(Box::new(error)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may panic
    use crate::SealKey;

    #[test]
    fn a_sealed_value_opens_only_with_its_key_in_its_place() {
        let key = SealKey([7; 32]);
        let sealed = key.seal("kubeconfig a", b"token").unwrap();
        assert_eq!(key.unseal("kubeconfig a", &sealed).unwrap(), b"token");
        assert!(key.unseal("kubeconfig b", &sealed).is_err());
        assert!(SealKey([8; 32]).unseal("kubeconfig a", &sealed).is_err());
        assert!(key.unseal("kubeconfig a", &sealed[..5]).is_err());
        assert_ne!(key.seal("kubeconfig a", b"token").unwrap(), sealed);
    }
}
