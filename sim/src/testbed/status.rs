//! How a bed is: for people as tables, for programs as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Serialize;

use super::bed::Bed;
use super::error::Result;
use super::hypervisor::Hypervisor;
use super::ident::{GuestName, HypervisorId, InterfaceAddress, Mac};
use super::state::Place;
use super::table::Table;

/// A bed at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Status {
    /// Where its files are.
    pub directory: PathBuf,
    /// Its hypervisors.
    pub hypervisors: BTreeMap<HypervisorId, HypervisorStatus>,
    /// Its guests.
    pub guests: BTreeMap<GuestName, GuestStatus>,
}

/// A hypervisor at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HypervisorStatus {
    /// Its name for `ip netns exec`.
    pub netns: String,
    /// Its database, sockets and logs.
    pub directory: PathBuf,
    /// Where controllers see it come from.
    pub management_ip: Ipv4Addr,
    /// Its tunnel endpoint.
    pub underlay_ip: Ipv4Addr,
    /// The process of ovsdb-server, if it runs.
    pub db_pid: Option<u32>,
    /// The process of ovs-vswitchd, if it runs.
    pub switch_pid: Option<u32>,
    /// Its bridges, while its database can be asked.
    pub bridges: Vec<String>,
    /// Its managers, while its database can be asked.
    pub managers: Vec<String>,
}

/// A guest at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GuestStatus {
    /// Its name for `ip netns exec`.
    pub netns: String,
    /// Where it is plugged in.
    pub place: Place,
    /// Its interface's address.
    pub mac: Mac,
    /// Its addresses.
    pub addresses: Vec<InterfaceAddress>,
    /// What a controller knows its interface by, as key and value of `external_ids`.
    pub vif: String,
}

impl Bed {
    /// How it is now.
    ///
    /// # Errors
    /// If a database that runs cannot be asked.
    pub fn status(&self) -> Result<Status> {
        let hypervisors = self.hypervisors().iter().map(|hv| Ok((hv.id(), hypervisor(hv)?))).collect::<Result<_>>()?;
        let guests = self.guests().map(|(guest, place)| {
            let spec = guest.spec();
            let status = GuestStatus {
                netns: guest.netns().name().to_owned(),
                place,
                mac: spec.mac,
                addresses: spec.addresses.clone(),
                vif: spec.vif.to_string(),
            };
            (spec.name.clone(), status)
        });
        Ok(Status { directory: self.directory().to_owned(), hypervisors, guests: guests.collect() })
    }
}

impl Status {
    /// Whether all daemons run.
    pub fn is_whole(&self) -> bool {
        self.hypervisors.values().all(|hv| hv.db_pid.is_some() && hv.switch_pid.is_some())
    }
}

fn hypervisor(hypervisor: &Hypervisor) -> Result<HypervisorStatus> {
    let db_pid = hypervisor.pid("ovsdb-server");
    let ask = |question| -> Result<Vec<String>> {
        let answer = if db_pid.is_some() { hypervisor.ovs_vsctl(&[question])? } else { String::new() };
        Ok(answer.lines().map(str::to_owned).collect())
    };
    Ok(HypervisorStatus {
        netns: hypervisor.netns().name().to_owned(),
        directory: hypervisor.directory().to_owned(),
        management_ip: hypervisor.id().management_ip(),
        underlay_ip: hypervisor.id().underlay_ip(),
        db_pid,
        switch_pid: hypervisor.pid("ovs-vswitchd"),
        bridges: ask("list-br")?,
        managers: ask("get-manager")?,
    })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = |words: &[&str]| Table::new(words.iter().map(|word| (*word).to_owned()));
        let mut table = heading(&["HYPERVISOR", "MANAGEMENT", "UNDERLAY", "DB", "SWITCH", "BRIDGES", "MANAGERS"]);
        for (id, hv) in &self.hypervisors {
            let pid = |pid: Option<u32>| pid.map_or("down".to_owned(), |pid| format!("pid {pid}"));
            let (management, underlay) = (hv.management_ip.to_string(), hv.underlay_ip.to_string());
            let lists = [hv.bridges.join(" "), hv.managers.join(" ")];
            table.row(
                [id.to_string(), management, underlay, pid(hv.db_pid), pid(hv.switch_pid)].into_iter().chain(lists),
            );
        }
        writeln!(f, "{}\n\n{table}", self.directory.display())?;
        if self.guests.is_empty() {
            return write!(f, "no guests");
        }
        let mut table = heading(&["GUEST", "AT", "MAC", "VIF", "ADDRESSES"]);
        for (name, guest) in &self.guests {
            let addresses: Vec<String> = guest.addresses.iter().map(ToString::to_string).collect();
            let cells = [name.to_string(), guest.place.to_string(), guest.mac.to_string(), guest.vif.clone()];
            table.row(cells.into_iter().chain([addresses.join(" ")]));
        }
        write!(f, "{}", table.to_string().trim_end())
    }
}
