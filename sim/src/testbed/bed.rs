//! A whole testbed: several hypervisors, the networks between them, and their guests.
//!
//! ```text
//!   the caller's namespace: a controller may listen on 10.254.0.1
//!         |
//!   == management bridge, 10.254.0.0/16 ==
//!      |           |
//!     hv1         hv2 ...   a namespace, an ovsdb-server and an ovs-vswitchd each
//!    /  | \      /  | \
//!  web  |  db   ..  |  ..   guests: a namespace each
//!       |           |
//!   == underlay bridge, 172.31.0.0/16, MTU 1700 == (in a namespace of its own)
//! ```
//!
//! A hypervisor starts without `br-int`, which is the controller's to make. A bed is taken down when it is dropped,
//! also by a panic, unless it was kept. Start at [`Bed::up`]; tests start at [`Bed::for_test`].

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;

use super::command::{command, ip_batch, run};
use super::error::{Doing, Error, Result};
use super::guest::{Guest, GuestSpec};
use super::hypervisor::{Hypervisor, UNDERLAY_MTU};
use super::ident::{BedId, GuestName, HypervisorId};
use super::netns::{self, Ipv6, Netns, enter_private_namespace};
use super::requirements::{ready_or_skip, requirements};
use super::state::{self, Place, Placed, Process, State};

/// What the directory of a bed is called, in `$TMPDIR`; its id comes after.
pub(crate) const DIRECTORY_PREFIX: &str = "selvedge-testbed.";

/// How many hypervisors are made at a time.
const AT_ONCE: usize = 8;

/// When a bed ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifetime {
    /// With the [`Bed`] that made it, or, if that never got to it, by the next `down`.
    Scope,
    /// By `down`, whoever made it.
    UntilDown,
}

/// In which order a migrating guest's interface shows up in one place and leaves the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MigrationOrder {
    /// On the new hypervisor first, so for a while on both: libvirt with QEMU.
    AppearsFirst,
    /// Gone from the old hypervisor first, so for a while on neither.
    LeavesFirst,
}

/// A testbed that is up.
pub struct Bed {
    id: BedId,
    directory: PathBuf,
    state: State,
    hypervisors: Vec<Hypervisor>,
    /// Down when dropped.
    ends_here: bool,
    /// Nobody else changes the bed meanwhile.
    _lock: File,
}

impl Bed {
    /// A bed for a test, in a private network namespace that the calling thread enters for good.
    ///
    /// `None`, with a loud note, where real switches cannot run: the test returns then.
    ///
    /// # Panics
    /// If the bed does not come up, or cannot and `SELVEDGE_REQUIRE_OVS=1`.
    pub fn for_test(test: &str, hypervisors: u8) -> Option<Self> {
        if !ready_or_skip(test) {
            return None;
        }
        let bed = enter_private_namespace().and_then(|()| Self::up(hypervisors, Lifetime::Scope));
        Some(bed.unwrap_or_else(|error| panic!("{test}: no testbed: {error}")))
    }

    /// Makes a bed, with the management network in the caller's network namespace.
    ///
    /// # Errors
    /// If the machine cannot have one, or the namespace has one already. Nothing is left behind.
    pub fn up(hypervisors: u8, lifetime: Lifetime) -> Result<Self> {
        requirements()?;
        if !(1..=HypervisorId::MAX).contains(&hypervisors) {
            return Err(Error::HypervisorCount { asked: hypervisors });
        }
        management_network_is_free()?;
        let owner = match lifetime {
            Lifetime::Scope => Some(Process::own()?),
            Lifetime::UntilDown => None,
        };
        let state = State { owner, hypervisors, guests: Default::default() };
        let mut bed = Self::begin(state)?;
        bed.make_networks()?;
        bed.each_hypervisor(|hypervisor| bed.make_hypervisor(hypervisor))?;
        bed.ends_here = lifetime == Lifetime::Scope;
        Ok(bed)
    }

    /// The bed of a directory that stays until `down`, to look at it and change it.
    ///
    /// Waits while another process does so.
    ///
    /// # Errors
    /// If the directory holds no bed.
    pub fn open(directory: &Path) -> Result<Self> {
        let no_bed = || Error::WhichBed(format!("{}: no testbed", directory.display()));
        let lock = state::lock(directory)?;
        let state = State::load(directory)?.ok_or_else(no_bed)?;
        let name = directory.file_name().and_then(|name| name.to_str());
        let id = name.and_then(BedId::from_directory).ok_or_else(no_bed)?;
        Self::with(id, directory.to_owned(), state, lock)
    }

    /// The beds in `$TMPDIR` that stay until `down`.
    ///
    /// # Errors
    /// If a state file there is broken.
    pub fn all_kept() -> Result<Vec<PathBuf>> {
        let mut kept = Vec::new();
        for directory in our_directories() {
            if State::load(&directory)?.is_some_and(|state| state.owner.is_none()) {
                kept.push(directory);
            }
        }
        Ok(kept)
    }

    /// The beds in `$TMPDIR` whose makers ended without taking them down.
    ///
    /// # Errors
    /// If a state file there is broken.
    pub fn all_abandoned() -> Result<Vec<PathBuf>> {
        let mut abandoned = Vec::new();
        for directory in our_directories() {
            let owner = State::load(&directory)?.and_then(|state| state.owner);
            if owner.is_some_and(|owner| !owner.is_alive()) {
                abandoned.push(directory);
            }
        }
        Ok(abandoned)
    }

    /// Ends all processes, removes all namespaces, devices and files.
    ///
    /// # Errors
    /// If a process does not end, or something cannot be removed.
    pub fn down(mut self) -> Result<()> {
        self.ends_here = false;
        self.remove()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All hypervisors, from the first.
    pub fn hypervisors(&self) -> &[Hypervisor] {
        &self.hypervisors
    }

    /// One hypervisor.
    ///
    /// # Errors
    /// If the bed has fewer.
    pub fn hypervisor(&self, id: HypervisorId) -> Result<&Hypervisor> {
        self.hypervisors.get(id.index()).ok_or(Error::NoSuchHypervisor(id))
    }

    /// All guests and where they are, by name.
    pub fn guests(&self) -> impl Iterator<Item = (Guest, Place)> {
        self.state.guests.values().map(|placed| (self.handle(&placed.spec), placed.place))
    }

    /// One guest.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn guest(&self, name: &GuestName) -> Result<Guest> {
        self.placed(name).map(|placed| self.handle(&placed.spec))
    }

    /// Makes a guest and plugs it in, which takes a `br-int`.
    ///
    /// # Errors
    /// If there is a guest of this name already, or it cannot be plugged in; nothing is left of it then.
    pub fn add_guest(&mut self, on: HypervisorId, spec: GuestSpec) -> Result<Guest> {
        let hypervisor = self.hypervisor(on)?.clone();
        if self.state.guests.contains_key(&spec.name) {
            return Err(Error::GuestExists(spec.name));
        }
        let guest = self.handle(&spec);
        self.state.guests.insert(spec.name.clone(), Placed { spec, place: Place::At(on) });
        self.save()?;
        if let Err(error) = guest.create().and_then(|()| guest.plug(&hypervisor)) {
            // The first error is the one to tell; what cannot be removed now, `down` removes.
            let _ = self.delete_guest(guest.name());
            return Err(error);
        }
        Ok(guest)
    }

    /// Pulls a guest's plug; what runs in it goes on.
    ///
    /// # Errors
    /// If it is not plugged in at one place.
    pub fn unplug(&mut self, name: &GuestName) -> Result<()> {
        let from = self.location(name)?;
        self.guest(name)?.unplug(self.hypervisor(from)?)?;
        self.put(name, Place::Unplugged)
    }

    /// Plugs an unplugged guest in. It tells nobody: see [`Guest::announce`].
    ///
    /// # Errors
    /// If it is plugged in already.
    pub fn plug(&mut self, name: &GuestName, on: HypervisorId) -> Result<()> {
        match self.placed(name)?.place {
            Place::Unplugged => {}
            place => return Err(misplaced(name, format!("is plugged in already: {place}"))),
        }
        let (guest, hypervisor) = (self.guest(name)?, self.hypervisor(on)?);
        guest.plug(hypervisor).or_else(|error| undo(&guest, hypervisor, error))?;
        self.put(name, Place::At(on))
    }

    /// Moves a guest to another hypervisor, with all that runs in it, and has it announced there.
    ///
    /// # Errors
    /// If it is not plugged in at one place, or is there already.
    pub fn migrate(&mut self, name: &GuestName, to: HypervisorId, order: MigrationOrder) -> Result<()> {
        match order {
            MigrationOrder::AppearsFirst => {
                self.begin_migration(name, to)?;
                self.finish_migration(name)
            }
            MigrationOrder::LeavesFirst => {
                self.elsewhere(name, to)?;
                let guest = self.guest(name)?;
                let neighbours = guest.neighbours()?;
                self.unplug(name)?;
                self.plug(name, to)?;
                guest.restore(&neighbours)?;
                guest.announce()
            }
        }
    }

    /// Plugs a guest in at its destination, while it still runs where it is.
    ///
    /// # Errors
    /// If it is not plugged in at one place, or is there already.
    pub fn begin_migration(&mut self, name: &GuestName, to: HypervisorId) -> Result<()> {
        let from = self.elsewhere(name, to)?;
        let (guest, hypervisor) = (self.guest(name)?, self.hypervisor(to)?);
        guest.plug_next(hypervisor).or_else(|error| undo(&guest, hypervisor, error))?;
        self.put(name, Place::Migrating { from, to })
    }

    /// Has a migrating guest run, and announced, at its destination; then unplugs it where it was.
    ///
    /// # Errors
    /// If it is not migrating.
    pub fn finish_migration(&mut self, name: &GuestName) -> Result<()> {
        let (from, to) = match self.placed(name)?.place {
            Place::Migrating { from, to } => (from, to),
            place => return Err(misplaced(name, format!("is not migrating: {place}"))),
        };
        let guest = self.guest(name)?;
        guest.switch_over()?;
        guest.announce()?;
        guest.unplug(self.hypervisor(from)?)?;
        self.put(name, Place::At(to))
    }

    /// Removes a guest, and ends all that runs in it.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn delete_guest(&mut self, name: &GuestName) -> Result<()> {
        let guest = self.guest(name)?;
        let places = match self.placed(name)?.place {
            Place::Unplugged => vec![],
            Place::At(at) => vec![at],
            Place::Migrating { from, to } => vec![from, to],
        };
        for place in places {
            guest.unplug(self.hypervisor(place)?)?;
        }
        guest.netns().remove()?;
        self.state.guests.remove(name);
        self.save()
    }

    fn begin(state: State) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        let made =
            builder.prefix(DIRECTORY_PREFIX).rand_bytes(6).tempdir().doing(|| "making a directory".to_owned())?;
        let name = made.path().file_name().and_then(|name| name.to_str());
        let id = name.and_then(BedId::from_directory).expect("it was named just so");
        state.save(made.path())?;
        let lock = state::lock(made.path())?;
        let mut bed = Self::with(id, made.path().to_owned(), state, lock)?;
        bed.ends_here = true;
        // From here on it is the bed that removes the directory.
        let _ = made.keep();
        Ok(bed)
    }

    fn with(id: BedId, directory: PathBuf, state: State, lock: File) -> Result<Self> {
        let hypervisors = HypervisorId::first(state.hypervisors)
            .map(|hv| Hypervisor::new(hv, Netns::named(format!("{}{hv}", id.netns_prefix())), &directory))
            .collect::<Result<_>>()?;
        Ok(Self { id, directory, state, hypervisors, ends_here: false, _lock: lock })
    }

    fn make_networks(&self) -> Result<()> {
        let bridge = self.id.management_bridge();
        ip_batch(
            None,
            &[
                format!("link add name {bridge} up type bridge mcast_snooping 0"),
                format!("addr add 10.254.0.1/16 dev {bridge}"),
            ],
        )?;
        let net = self.underlay();
        net.create(Ipv6::Off)?;
        net.ip(&["link add name underlay up type bridge mcast_snooping 0".to_owned()])
    }

    fn make_hypervisor(&self, hypervisor: &Hypervisor) -> Result<()> {
        let (id, netns) = (hypervisor.id(), hypervisor.netns());
        netns.create(Ipv6::Off)?;
        let (name, net) = (netns.name(), self.underlay());
        let (port, bridge) = (self.id.management_port(id), self.id.management_bridge());
        ip_batch(
            None,
            &[
                format!("link add name {port} type veth peer name mgmt0 netns {name}"),
                format!("link set dev {port} master {bridge} up"),
                format!("link add name {id} netns {} type veth peer name ul0 netns {name}", net.name()),
            ],
        )?;
        net.ip(&[format!("link set dev {id} mtu {UNDERLAY_MTU} master underlay up")])?;
        netns.ip(&[
            format!("addr add {}/16 dev mgmt0", id.management_ip()),
            "link set dev mgmt0 up".to_owned(),
            format!("link set dev ul0 mtu {UNDERLAY_MTU} up"),
        ])?;
        hypervisor.start()
    }

    /// Does something with all hypervisors, several at a time; the first error.
    pub(super) fn each_hypervisor(&self, function: impl Fn(&Hypervisor) -> Result<()> + Sync) -> Result<()> {
        for some in self.hypervisors.chunks(AT_ONCE) {
            thread::scope(|scope| {
                let threads: Vec<_> = some.iter().map(|hypervisor| scope.spawn(|| function(hypervisor))).collect();
                let results: Vec<Result<()>> = threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect();
                results.into_iter().collect::<Result<()>>()
            })?;
        }
        Ok(())
    }

    fn underlay(&self) -> Netns {
        Netns::named(format!("{}net", self.id.netns_prefix()))
    }

    fn handle(&self, spec: &GuestSpec) -> Guest {
        Guest::new(spec.clone(), Netns::named(format!("{}{}", self.id.netns_prefix(), spec.name)))
    }

    fn placed(&self, name: &GuestName) -> Result<&Placed> {
        self.state.guests.get(name).ok_or_else(|| Error::NoSuchGuest(name.clone()))
    }

    /// The one hypervisor where a guest is.
    fn location(&self, name: &GuestName) -> Result<HypervisorId> {
        match self.placed(name)?.place {
            Place::At(hypervisor) => Ok(hypervisor),
            place => Err(misplaced(name, format!("is not plugged in at one place: {place}"))),
        }
    }

    /// The one hypervisor where a guest is, if it is not the one where it should go.
    fn elsewhere(&self, name: &GuestName, to: HypervisorId) -> Result<HypervisorId> {
        self.hypervisor(to)?;
        let from = self.location(name)?;
        if from == to { Err(misplaced(name, format!("is on {to} already"))) } else { Ok(from) }
    }

    fn put(&mut self, name: &GuestName, place: Place) -> Result<()> {
        let placed = self.state.guests.get_mut(name).ok_or_else(|| Error::NoSuchGuest(name.clone()))?;
        placed.place = place;
        self.save()
    }

    fn save(&self) -> Result<()> {
        self.state.save(&self.directory)
    }

    /// Removes all that is left of it; parts may be gone already.
    fn remove(&self) -> Result<()> {
        netns::remove_all(&netns::with_prefix(&self.id.netns_prefix()))?;
        let bridge = self.id.management_bridge();
        if run(&mut command("ip", &["link", "show", "dev", &bridge])).is_ok() {
            ip_batch(None, &[format!("link delete dev {bridge}")])?;
        }
        fs::remove_dir_all(&self.directory).doing(|| format!("removing {}", self.directory.display()))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if !self.ends_here {
            return;
        }
        // There may be a panic under way, whose message matters more: say what remains, and how to get rid of it.
        if let Err(error) = self.remove() {
            eprintln!("testbed {}: {error}; `down` will try again", self.directory.display());
        }
    }
}

/// Takes back what there is of a plug that failed half-way, and passes on why it did.
fn undo(guest: &Guest, hypervisor: &Hypervisor, error: Error) -> Result<()> {
    // What cannot be taken back now goes with the bed; the first error is the one to tell.
    let _ = guest.unplug(hypervisor);
    Err(error)
}

fn misplaced(guest: &GuestName, state: String) -> Error {
    Error::GuestPlace { guest: guest.clone(), state }
}

fn our_directories() -> Vec<PathBuf> {
    let is_ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| BedId::from_directory(name).is_some())
    };
    state::beds_in(&std::env::temp_dir()).into_iter().filter(is_ours).collect()
}

fn management_network_is_free() -> Result<()> {
    let shown = run(&mut command("ip", &["-br", "addr", "show", "to", "10.254.0.0/16"]))?;
    let addresses = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    if addresses.is_empty() { Ok(()) } else { Err(Error::ManagementNetworkTaken { addresses }) }
}
