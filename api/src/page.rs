//! Pages of lists: items in order of a key, a token is the last key seen.

use crate::errors;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tonic::Status;

const DEFAULT: i32 = 100;
const MOST: i32 = 1_000;

/// Sorts by key, drops what came before, and cuts; the second part is the next page's token.
pub fn page<T>(
    mut items: Vec<T>,
    key: impl Fn(&T) -> String,
    size: i32,
    token: &str,
) -> Result<(Vec<T>, String), Status> {
    let size = match size {
        0 => DEFAULT,
        1.. => size.min(MOST),
        _ => {
            return Err(errors::invalid_field(
                "the request",
                "page_size",
                "is negative; leave it out for 100",
            ));
        }
    } as usize;
    items.sort_by_cached_key(&key);
    if !token.is_empty() {
        let last = URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let last = last.ok_or_else(|| {
            errors::invalid_field(
                "the request",
                "page_token",
                "is not one of this server's; start again without one",
            )
        })?;
        items.retain(|item| key(item) > last);
    }
    let more = items.len() > size;
    items.truncate(size);
    let next = if more {
        items
            .last()
            .map(|item| URL_SAFE_NO_PAD.encode(key(item)))
            .unwrap_or_default()
    } else {
        String::new()
    };
    Ok((items, next))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn pages_show_every_item_once_and_in_order() {
        let items = || vec![3, 1, 5, 2, 4];
        let (mut seen, mut token) = (vec![], String::new());
        loop {
            let (some, next) = page(items(), |n| n.to_string(), 2, &token).unwrap();
            seen.extend(some);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
        assert_eq!(page(items(), |n| n.to_string(), 5, "").unwrap().1, "");
    }

    #[test]
    fn a_foreign_token_and_a_negative_size_are_refused() {
        assert!(
            page(vec![1], |n| n.to_string(), 1, "%")
                .unwrap_err()
                .message()
                .contains("page_token")
        );
        assert!(
            page(vec![1], |n| n.to_string(), -1, "")
                .unwrap_err()
                .message()
                .contains("page_size")
        );
    }
}
