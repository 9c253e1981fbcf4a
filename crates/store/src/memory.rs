//! How much memory is free, as the kernel tells it.

use std::fs;

/// Octets of memory that a program may take without others having to give theirs up, as far as that can be told: what the
/// machine has, and what the control group allows.
pub(crate) fn free() -> Option<usize> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| available(&text));
    let number = |path: &str| read(path)?.trim().parse::<usize>().ok();
    let most = number("/sys/fs/cgroup/memory.max");
    let group = most.map(|most| most.saturating_sub(number("/sys/fs/cgroup/memory.current").unwrap_or(most)));
    machine.into_iter().chain(group).min()
}

/// Octets of `MemAvailable` (proc_meminfo(5)).
fn available(text: &str) -> Option<usize> {
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    kibibytes.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read() {
        let text = "MemTotal:       24689000 kB\nMemFree:         9000000 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(available(text), Some(23_000_000 << 10));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(available("MemAvailable: many kB\n"), None);
    }
}
