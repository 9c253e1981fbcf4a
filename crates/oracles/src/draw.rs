//! Octets read as choices.

/// Octets read as choices. After the last octet every choice is the first, so any octets are a case, and a shorter input
/// is a simpler one.
#[derive(Clone, Debug)]
pub struct Draw<'d> {
    octets: &'d [u8],
}

impl<'d> Draw<'d> {
    /// Choices from these octets.
    #[must_use]
    pub fn new(octets: &'d [u8]) -> Self {
        Self { octets }
    }

    /// Whether all octets are used.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.octets.is_empty()
    }

    /// The next octet.
    pub fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.octets.split_first() else { return 0 };
        self.octets = rest;
        *first
    }

    /// A number below `bound`, which is from 1 to 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.octet()) % bound.max(1)
    }

    /// True once in `often` times, and after the last octet never.
    pub fn rarely(&mut self, often: usize) -> bool {
        self.below(often) == often - 1
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// The next octets, at most `most` of them, as many as the next octet says.
    pub fn octets(&mut self, most: usize) -> &'d [u8] {
        let length = self.below(most + 1).min(self.octets.len());
        let (taken, rest) = self.octets.split_at(length);
        self.octets = rest;
        taken
    }
}
