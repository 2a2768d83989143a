//! Texts of others in sentences of ours: quoted, and never longer than a reader can use. A name of
//! a megabyte in an error would break the connection that carries it.

/// Bytes of a quoted text that are shown.
const QUOTED: usize = 80;
/// Longer words are no slip of the pen, and comparing them costs.
const WORD: usize = 64;

/// At most `most` bytes of a text, its end marked when something is left out.
pub fn clipped(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// In quotes, control characters escaped, clipped.
pub fn quoted(text: &str) -> String {
    format!("{:?}", clipped(text, QUOTED))
}

/// The word that was most likely meant; none if nothing is close.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let tolerated = word.len() / 3;
    known
        .into_iter()
        .map(|known| (distance(&word, known), known))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Letters added, left out, changed or swapped with their neighbour, whatever their case.
fn distance(word: &[char], known: &str) -> usize {
    let known: Vec<char> = known.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in word.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in known.iter().enumerate() {
            let mut least = (last[j] + usize::from(a != b))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *a == known[j - 1] && word[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[known.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        for (word, found) in [
            ("labls", Some("labels")),
            ("Labels", Some("labels")),
            ("kubeconfg", Some("kubeconfig")),
            ("nmae", Some("name")),
            ("dependson", Some("dependsOn")),
            ("colour", None),
            ("", None),
        ] {
            let known = ["name", "labels", "kubeconfig", "dependsOn"];
            assert_eq!(nearest(word, known), found, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), ["name"]), None);
    }

    #[test]
    fn long_texts_are_clipped_between_characters() {
        assert_eq!(clipped("abc", 3), "abc");
        assert_eq!(clipped("aéé", 2), "a…");
        assert_eq!(quoted("a\n"), "\"a\\n\"");
        assert!(quoted(&"é".repeat(1 << 20)).len() < 100);
    }
}
