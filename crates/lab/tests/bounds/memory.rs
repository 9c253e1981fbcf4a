//! The memory of this process, as Linux counts it.

/// How much more memory the process has come to use.
pub(crate) struct Growth {
    at_start: usize,
}

impl Growth {
    /// From here on.
    pub(crate) fn start() -> Self {
        // Sets the peak to what is used now (proc(5), /proc/pid/clear_refs).
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Self { at_start: field("VmRSS:") }
    }

    /// The most that was ever in use since the start must not be more than `octets` above what was in use then.
    pub(crate) fn at_most(&self, octets: usize, what: &str) {
        let grown = field("VmHWM:").saturating_sub(self.at_start);
        println!("{what}: {} KiB of {} KiB", grown >> 10, octets >> 10);
        assert!(
            grown <= octets,
            "{what}: memory grew by {} KiB, more than {} KiB",
            grown >> 10,
            octets >> 10
        );
    }
}

/// A field of /proc/self/status, in octets.
fn field(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
