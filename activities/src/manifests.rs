//! Manifests in use, by digest: one is applied on many clusters.

use lru::LruCache;
use std::sync::Arc;

/// Bytes kept.
const BYTES: usize = 32 << 20;
/// Larger manifests are not kept: they would push out many that are used on many clusters.
const LARGE: usize = 256 << 10;

pub struct Manifests {
    texts: LruCache<String, Arc<str>>,
    bytes: usize,
}

impl Default for Manifests {
    fn default() -> Self {
        Self {
            texts: LruCache::unbounded(),
            bytes: 0,
        }
    }
}

impl Manifests {
    pub fn get(&mut self, digest: &str) -> Option<Arc<str>> {
        self.texts.get(digest).cloned()
    }

    /// Keeps a manifest; those not used for longest go.
    pub fn put(&mut self, digest: &str, text: &Arc<str>) {
        if text.len() > LARGE {
            return;
        }
        self.bytes += text.len();
        if let Some(same) = self.texts.put(digest.to_owned(), text.clone()) {
            self.bytes -= same.len();
        }
        while self.bytes > BYTES
            && let Some((_, oldest)) = self.texts.pop_lru()
        {
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_an_end_and_large_ones_are_not_kept() {
        let mut manifests = Manifests::default();
        let text: Arc<str> = "x".repeat(LARGE).into();
        let most = BYTES / LARGE;
        for i in 0..=most {
            manifests.put(&i.to_string(), &text);
            manifests.put("same", &text);
        }
        assert!(manifests.bytes <= BYTES);
        assert!(manifests.get("0").is_none() && manifests.get("same").is_some());
        assert!(manifests.get(&most.to_string()).is_some());
        manifests.put("large", &"x".repeat(LARGE + 1).into());
        assert!(manifests.get("large").is_none());
    }
}
