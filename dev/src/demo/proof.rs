//! Something that was claimed and checked.

/// A claim in one sentence, with its numbers, and whether it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub held: bool,
    pub text: String,
}

/// The proofs so far.
#[derive(Debug, Default)]
pub struct Proofs(Vec<Proof>);

impl Proofs {
    pub fn check(&mut self, held: bool, text: impl Into<String>) {
        self.0.push(Proof {
            held,
            text: text.into(),
        });
    }

    pub fn all(self) -> Vec<Proof> {
        self.0
    }
}
