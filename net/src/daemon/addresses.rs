//! Which addresses this machine has: the controller's certificate is good for them. Start at [`local_addresses`].

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of this machine, as the kernel lists them. Loopback is among them. Where `/proc` is missing, only that.
pub fn local_addresses() -> BTreeSet<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut addresses = v4(&read("/proc/net/fib_trie"));
    addresses.extend(v6(&read("/proc/net/if_inet6")));
    addresses.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    addresses
}

/// In the routing trie a local address is a leaf, followed by a line that says so.
fn v4(trie: &str) -> BTreeSet<IpAddr> {
    let mut leaf = None;
    let mut found = BTreeSet::new();
    for line in trie.lines().map(str::trim) {
        match line.strip_prefix("|-- ") {
            Some(address) => leaf = address.parse::<Ipv4Addr>().ok(),
            None if line == "/32 host LOCAL" => found.extend(leaf.map(IpAddr::V4)),
            None => {}
        }
    }
    found
}

/// Each line begins with the address, 32 hex digits.
fn v6(table: &str) -> BTreeSet<IpAddr> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    table.lines().filter_map(address).map(|bits| IpAddr::V6(Ipv6Addr::from(bits))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_read_from_the_kernels_tables() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(v4(trie), BTreeSet::from([IpAddr::from([10, 0, 0, 7])]));
        let table = "fe800000000000000000000000000001 02 40 20 80 eth0\n";
        assert_eq!(v6(table), BTreeSet::from(["fe80::1".parse().expect("an address")]));
        assert!(local_addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
