//! What names and labels may look like.

/// DNS-1123 without its limit of length: parts of `[a-z0-9]([-a-z0-9]*[a-z0-9])?` joined by dots.
pub(super) fn is_dns(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.split('.').all(|part| {
        part.bytes().all(|b| inner(b) || b == b'-')
            && part.bytes().next().is_some_and(inner)
            && part.bytes().last().is_some_and(inner)
    })
}

/// Names of our own things: they become labels' values.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 63 && is_dns(text)
}

/// `[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?`, at most 63.
pub(super) fn is_label_text(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && edge(text.bytes().next())
        && edge(text.bytes().last())
}

/// A label as Kubernetes takes it.
pub(super) fn check_label(key: &str, value: &str) -> Result<(), &'static str> {
    let (prefix, name) = match key.rsplit_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if !is_label_text(name) || prefix.is_some_and(|p| p.is_empty() || p.len() > 253 || !is_dns(p)) {
        return Err("is no valid label name");
    }
    if !value.is_empty() && !is_label_text(value) {
        return Err("has no valid label value");
    }
    Ok(())
}
