//! What is wrong with a document, and what to do about it.

use crate::manifest::YamlError;
use std::fmt;

/// Why a document or manifest is refused. Never carries a value of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentError {
    /// As the user named it; empty when it is not known.
    pub file: String,
    /// The document's number in the file, from 1; 0 when it is not about one document.
    pub document: usize,
    /// The path to the field, for example `spec.apps[1].dependsOn[0].app`; empty for the whole.
    pub field: String,
    pub cause: String,
    pub next_step: String,
}

impl DocumentError {
    /// A text that cannot be read at all.
    pub fn unreadable(file: &str, error: &YamlError) -> Self {
        Self {
            file: file.to_owned(),
            document: error.document,
            field: String::new(),
            cause: error.to_string(),
            next_step: "correct the YAML".to_owned(),
        }
    }
}

impl fmt::Display for DocumentError {
    /// One sentence: `shop.yaml, document 2, spec.placement: cause; next step`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = Vec::new();
        if !self.file.is_empty() {
            place.push(self.file.clone());
        }
        if self.document > 0 {
            place.push(format!("document {}", self.document));
        }
        if !self.field.is_empty() {
            place.push(self.field.clone());
        }
        if !place.is_empty() {
            write!(f, "{}: ", place.join(", "))?;
        }
        f.write_str(&self.cause)?;
        if !self.next_step.is_empty() {
            write!(f, "; {}", self.next_step)?;
        }
        Ok(())
    }
}

impl std::error::Error for DocumentError {}
