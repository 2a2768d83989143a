//! Looking for planted markers in what was written.

use base64::{Engine, engine::general_purpose::STANDARD};

/// What gives a marker away, whatever stands before and behind it: itself, in hex, in base64 at each
/// of the three offsets.
pub fn forms(prefix: &str) -> Vec<Vec<u8>> {
    let hex: String = prefix.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![prefix.as_bytes().to_vec(), hex.into_bytes()];
    for offset in 0..3 {
        let text = STANDARD.encode([&b"..."[..offset], prefix.as_bytes()].concat());
        let inner = &text.trim_end_matches('=')[[0, 2, 3][offset]..];
        forms.push(inner.as_bytes()[..inner.len() - 2].to_vec());
    }
    forms
}

/// By the standard library's search, which is optimized in every build.
pub fn holds(bytes: &[u8], what: &[u8]) -> bool {
    let what = std::str::from_utf8(what).unwrap();
    String::from_utf8_lossy(bytes).contains(what)
}
