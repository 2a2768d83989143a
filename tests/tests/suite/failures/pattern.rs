//! Texts of the table of failures, whose words in capitals stand for something of the case.

/// Whether a text is as the table says: its words in capitals stand for anything.
pub fn fits(pattern: &str, text: &str) -> bool {
    let is_literal = |word: &str| ["TLS", "CRD"].contains(&word);
    let mut rest = text;
    let mut literal = String::new();
    let mut pieces = Vec::new();
    for word in pattern.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let stands_for =
            bare.len() > 1 && bare.chars().all(|c| c.is_ascii_uppercase()) && !is_literal(bare);
        if stands_for {
            pieces.push(std::mem::take(&mut literal));
            literal = word[bare.len()..].to_owned();
        } else {
            literal.push_str(word);
        }
    }
    pieces.push(literal);
    pieces.iter().all(|piece| match rest.find(piece.trim()) {
        Some(at) => {
            rest = &rest[at + piece.trim().len()..];
            true
        }
        None => false,
    })
}

#[test]
fn words_in_capitals_stand_for_anything() {
    for (pattern, text, expected) in [
        (
            "connect to HOST:PORT CAUSE",
            "connect to 127.0.0.1:1: connection refused",
            true,
        ),
        (
            "TLS: the certificate of HOST CAUSE",
            "TLS: the certificate of h has expired",
            true,
        ),
        (
            "TLS: the certificate of HOST CAUSE",
            "TLS with h: eof",
            false,
        ),
        ("no answer within SECONDS s", "no answer within 1 s", true),
        ("the object is too large", "the object is too small", false),
    ] {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}
