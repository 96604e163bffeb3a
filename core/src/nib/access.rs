//! Who may do what, and who did: users, roles, maintenance, and the audit log.
//!
//! What a user changes comes with its author ([`Command::By`]); whether they may is decided where it is applied, so that
//! it is the same on every member, and nothing can change between the question and the deed. Start at
//! [`Nib::apply_by`], and at [`Role`].

use super::{Attachment, Change, Command, Common, Kind, LogicalPort, LogicalSwitch, Nib, Object, Refusal, Tag, User};
use crate::ids::Revision;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use uuid::Uuid;

/// Longest name of a user, in bytes.
pub const USER_LENGTH_MAX: usize = 64;
/// Most users.
pub const USERS_MAX: usize = 10_000;
/// Most tags that a tenant is bound to.
pub const TENANT_TAGS_MAX: usize = 16;
/// Most records in the audit log; the oldest go first.
pub const AUDIT_MAX: usize = 8_192;
/// The scope of a tag by which an object is lent: `true` lends it to everybody, another word to the tenants that are bound
/// to a tag of that word.
pub const SHARED_SCOPE: &str = "shared";

/// What a user may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    #[default]
    Admin,
    /// See everything.
    Operator,
    /// See and change what carries one of these tags, and what belongs to that; use what is lent.
    Tenant {
        /// Those tags; new objects get the first.
        tags: Vec<Tag>,
    },
}

/// Somebody changes who may do what. Serialised into the log, so variants and fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserCommand {
    /// Add a user, or change one: what is left out stays as it is.
    Put {
        /// The login name.
        name: String,
        /// The password's hash, in PHC string format. A new user needs one.
        #[serde(default)]
        password_hash: Option<String>,
        /// A new user without one is an administrator.
        #[serde(default)]
        role: Option<Role>,
    },
    /// Remove a user; their sessions end.
    Remove {
        /// The login name.
        name: String,
    },
}

/// Who asked for a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The user.
    pub user: String,
    /// The request, as it is called in logs.
    pub request: String,
    /// When it came, in seconds since 1970.
    pub at: u64,
}

/// What somebody did, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The revision that it made.
    pub revision: Revision,
    /// Who, when, by which request.
    pub author: Author,
    /// What, in a word: `create`, `update`, `delete`, `attach`, `count`, or what else changes.
    pub action: String,
    /// To what kind of resource, if it was one.
    pub kind: Option<Kind>,
    /// To which.
    pub uuid: Option<Uuid>,
    /// To what, if it was no resource: a user, a controller. A release before did not say.
    #[serde(default)]
    pub name: Option<String>,
    /// Why not, if it was refused.
    pub refused: Option<String>,
}

impl Nib {
    /// Carries out what somebody asked for, if they may, and records it.
    pub(super) fn apply_by(&mut self, author: &Author, command: &Command) -> Result<Vec<Change>, Refusal> {
        let outcome = self.allows(&author.user, command).and_then(|()| self.carry_out(command));
        let Summary { action, kind, uuid, name } = self.summary(command);
        if outcome.is_ok() {
            self.stamp(kind.zip(uuid), author.at);
        }
        let refused = outcome.as_ref().err().map(ToString::to_string);
        let author = author.clone();
        self.audit.push_back(AuditRecord {
            revision: self.revision,
            author,
            action: action.into(),
            kind,
            uuid,
            name,
            refused,
        });
        while self.audit.len() > AUDIT_MAX {
            self.audit.pop_front();
        }
        outcome
    }

    /// Enters when an object was changed, if it is still there.
    fn stamp(&mut self, object: Option<(Kind, Uuid)>, at: u64) {
        if let Some((kind, uuid)) = object.filter(|(kind, uuid)| self.modified(*kind, *uuid).is_some()) {
            self.modified_at.entry(kind).or_default().insert(uuid, at);
        }
    }

    /// When a user last changed an object, in seconds since 1970; nothing if that is not known.
    pub fn modified_at(&self, kind: Kind, uuid: Uuid) -> Option<u64> {
        self.modified_at.get(&kind)?.get(&uuid).copied()
    }

    /// What users did last, oldest first.
    pub fn audit(&self) -> &VecDeque<AuditRecord> {
        &self.audit
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    /// Whether users may only read.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    pub(super) fn change_user(&mut self, command: &UserCommand) -> Result<Vec<Change>, Refusal> {
        match command {
            UserCommand::Put { name, password_hash, role } => {
                self.put_user(name, password_hash.as_deref(), role.clone())
            }
            UserCommand::Remove { name } => {
                let user = self.users.get(name).ok_or_else(|| Refusal::NoSuchUser { name: name.clone() })?;
                self.keep_an_admin(name, user.role == Role::Admin)?;
                self.users.remove(name);
                Ok(vec![Change::User])
            }
        }
    }

    fn put_user(&mut self, name: &str, hash: Option<&str>, role: Option<Role>) -> Result<Vec<Change>, Refusal> {
        let known = self.users.get(name).cloned();
        if known.is_none() && self.users.len() >= USERS_MAX {
            return Err(Refusal::Exhausted { what: "users".into(), limit: USERS_MAX as u32 });
        }
        let was_admin = known.as_ref().is_some_and(|user| user.role == Role::Admin);
        let hash = hash.map(String::from).or_else(|| known.as_ref().map(|user| user.password_hash.clone()));
        let password_hash = hash.ok_or_else(|| Refusal::NoSuchUser { name: name.to_string() })?;
        let role = role.or(known.map(|user| user.role)).unwrap_or_default();
        self.keep_an_admin(name, was_admin && role != Role::Admin)?;
        self.users.insert(name.to_string(), User { password_hash, role });
        Ok(vec![Change::User])
    }

    /// Somebody must be able to let others in.
    fn keep_an_admin(&self, name: &str, goes: bool) -> Result<(), Refusal> {
        let mut others = self.users.iter().filter(|(other, user)| *other != name && user.role == Role::Admin);
        match goes && others.next().is_none() {
            true => Err(Refusal::LastAdmin { name: name.to_string() }),
            false => Ok(()),
        }
    }

    /// Whether a user may have a command carried out.
    fn allows(&self, user: &str, command: &Command) -> Result<(), Refusal> {
        let user = self.users.get(user).ok_or_else(|| Refusal::NoSuchUser { name: user.to_string() })?;
        if self.is_read_only && !matches!(command, Command::ReadOnly { .. }) {
            return Err(Refusal::ReadOnly);
        }
        match &user.role {
            Role::Admin => Ok(()),
            Role::Operator => Err(forbidden("an operator may only read")),
            Role::Tenant { tags } => self.allows_tenant(tags, command),
        }
    }

    /// Whether an object is a tenant's own: it carries one of their tags, or belongs to what is.
    fn is_own(&self, tags: &[Tag], kind: Kind, uuid: Uuid) -> bool {
        let carries = self.common(kind, uuid).is_some_and(|common| carries(common, tags));
        let parent = || kind.parent().zip(self.parent(kind, uuid));
        carries || parent().is_some_and(|(kind, uuid)| self.is_own(tags, kind, uuid))
    }

    /// Whether somebody of that role may see an object, and refer to it.
    pub fn is_visible(&self, role: &Role, kind: Kind, uuid: Uuid) -> bool {
        match role {
            Role::Admin | Role::Operator => true,
            Role::Tenant { tags } => self.is_visible_to(tags, kind, uuid),
        }
    }

    /// Zones are no secret.
    fn is_visible_to(&self, tags: &[Tag], kind: Kind, uuid: Uuid) -> bool {
        let is_lent = || self.common(kind, uuid).is_some_and(|common| is_lent(common, tags));
        kind == Kind::TransportZone || self.is_own(tags, kind, uuid) || is_lent()
    }

    fn allows_tenant(&self, tags: &[Tag], command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Create { object, .. } => {
                if let Some((kind, uuid)) = object.kind().parent().zip(object.parent()) {
                    self.must_see(tags, kind, uuid)?;
                }
                self.allows_content(tags, object, None)
            }
            Command::Update { uuid, object, .. } => {
                self.must_own(tags, object.kind(), *uuid)?;
                self.allows_content(tags, object, self.object(object.kind(), *uuid).as_ref())
            }
            Command::Delete { kind, uuid } => self.must_own(tags, *kind, *uuid),
            Command::Attach { port, attachment } => {
                self.must_own_port(tags, *port)?;
                self.allows_attachment(tags, attachment)
            }
            Command::CountFrom { port, .. } => self.must_own_port(tags, *port),
            Command::Observe { .. }
            | Command::Cluster(_)
            | Command::Session(_)
            | Command::SetUser { .. }
            | Command::User(_)
            | Command::ReadOnly { .. }
            | Command::By { .. } => Err(forbidden("it is for administrators")),
        }
    }

    fn must_see(&self, tags: &[Tag], kind: Kind, uuid: Uuid) -> Result<(), Refusal> {
        match self.is_visible_to(tags, kind, uuid) {
            true => Ok(()),
            false => Err(Refusal::NotFound { kind, uuid }),
        }
    }

    /// Of what a tenant does not see, they are not told that it is there.
    fn must_own(&self, tags: &[Tag], kind: Kind, uuid: Uuid) -> Result<(), Refusal> {
        self.must_see(tags, kind, uuid)?;
        match self.is_own(tags, kind, uuid) {
            true => Ok(()),
            false => Err(forbidden("it is another's")),
        }
    }

    fn must_own_port(&self, tags: &[Tag], port: Uuid) -> Result<(), Refusal> {
        let kind = self.attachment(port).map_or(Kind::LogicalPort, |(kind, _)| kind);
        self.must_own(tags, kind, port)
    }

    fn allows_attachment(&self, tags: &[Tag], attachment: &Attachment) -> Result<(), Refusal> {
        if let Some(peer) = attachment.peer() {
            let kind = self.attachment(peer).map_or(Kind::LogicalRouterPort, |(kind, _)| kind);
            self.must_own(tags, kind, peer)?;
        }
        match attachment.gateway() {
            Some((to, _)) => self.must_see(tags, to.kind, to.uuid),
            None => Ok(()),
        }
    }

    /// Whether a tenant may make an object so, or of what it was before.
    fn allows_content(&self, tags: &[Tag], object: &Object, before: Option<&Object>) -> Result<(), Refusal> {
        match object {
            Object::TransportZone(_)
            | Object::TransportNode(_)
            | Object::GatewayService(_)
            | Object::EdgeCluster(_) => {
                return Err(forbidden("it is for administrators"));
            }
            Object::LogicalSwitch(switch) => allows_transport(switch, before)?,
            Object::LogicalPort { config, .. } => allows_mirrors(config, before)?,
            Object::LogicalRouter(_)
            | Object::LogicalRouterPort { .. }
            | Object::NatRule { .. }
            | Object::Route { .. }
            | Object::SecurityProfile(_)
            | Object::Acl(_)
            | Object::LogicalQueue(_)
            | Object::ServicesNode(_)
            | Object::ServicesNodePort { .. } => {}
        }
        let was_without = before.and_then(Object::common).is_some_and(|common| !carries(common, tags));
        if object.common().is_some_and(|common| !carries(common, tags)) && !was_without {
            return Err(forbidden("tags: one of the tenant's own must be among them"));
        }
        let hidden = object.references().into_iter().find(|to| !self.is_visible_to(tags, to.kind, to.uuid));
        match hidden {
            Some(to) => Err(Refusal::NoSuchReference { field: to.path(), kind: to.kind, uuid: to.uuid }),
            None => Ok(()),
        }
    }
}

fn forbidden(why: &'static str) -> Refusal {
    Refusal::Forbidden { why: why.into() }
}

fn carries(common: &Common, tags: &[Tag]) -> bool {
    common.tags.iter().any(|tag| tags.contains(tag))
}

fn is_lent(common: &Common, tags: &[Tag]) -> bool {
    let lent = common.tags.iter().filter(|tag| tag.scope == SHARED_SCOPE).map(|tag| tag.tag.as_str());
    lent.into_iter().any(|to| to.eq_ignore_ascii_case("true") || tags.iter().any(|tag| tag.tag == to))
}

/// How a switch reaches physical networks is not a tenant's to say.
fn allows_transport(switch: &LogicalSwitch, before: Option<&Object>) -> Result<(), Refusal> {
    let same = matches!(before, Some(Object::LogicalSwitch(old)) if old.transport_zones == switch.transport_zones);
    let mut zones = switch.transport_zones.iter();
    match zones.any(|zone| zone.transport_type.encap().is_none() || zone.binding_config.is_some()) && !same {
        true => Err(forbidden("transport_zones: physical networks are for administrators")),
        false => Ok(()),
    }
}

/// Where copies of frames go is not a tenant's to say: they leave the logical networks.
fn allows_mirrors(port: &LogicalPort, before: Option<&Object>) -> Result<(), Refusal> {
    let same =
        matches!(before, Some(Object::LogicalPort { config, .. }) if config.mirror_targets == port.mirror_targets);
    match port.mirror_targets.is_empty() || same {
        true => Ok(()),
        false => Err(forbidden("mirror_targets: they are for administrators")),
    }
}

/// What a command does, in a word, and to what.
#[derive(Default)]
struct Summary {
    action: &'static str,
    kind: Option<Kind>,
    uuid: Option<Uuid>,
    name: Option<String>,
}

impl Nib {
    fn summary(&self, command: &Command) -> Summary {
        let of = |action, kind: Kind, uuid: Uuid| Summary { action, kind: Some(kind), uuid: Some(uuid), name: None };
        let about = |action, name: Option<String>| Summary { action, name, ..Summary::default() };
        let of_port = |action, port: Uuid| Summary {
            kind: self.attachment(port).map(|(kind, _)| kind),
            uuid: Some(port),
            ..about(action, None)
        };
        match command {
            Command::Create { uuid, object } => of("create", object.kind(), *uuid),
            Command::Update { uuid, object, .. } => of("update", object.kind(), *uuid),
            Command::Delete { kind, uuid } => of("delete", *kind, *uuid),
            Command::Attach { port, .. } => of_port("attach", *port),
            Command::CountFrom { port, .. } => of_port("count", *port),
            Command::Observe { node, .. } => of("observe", Kind::TransportNode, *node),
            Command::Cluster(command) => about("cluster", command.about()),
            Command::Session(_) => about("session", None),
            Command::SetUser { name, .. }
            | Command::User(UserCommand::Put { name, .. } | UserCommand::Remove { name }) => {
                about("user", Some(name.clone()))
            }
            Command::ReadOnly { on } => about("maintenance", Some(if *on { "on" } else { "off" }.into())),
            Command::By { command, .. } => self.summary(command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Tenants a and b, an operator and an administrator.
    struct World(Nib);

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("lawful")
    }

    fn tag(word: &str) -> Tag {
        Tag { scope: "os_tid".into(), tag: word.into() }
    }

    impl World {
        fn new() -> World {
            let mut world = World(Nib::default());
            let tenant = |word| Role::Tenant { tags: vec![tag(word)] };
            let users = [("root", Role::Admin), ("eye", Role::Operator), ("a", tenant("a")), ("b", tenant("b"))];
            for (name, role) in users {
                let put = UserCommand::Put { name: name.into(), password_hash: Some("x".into()), role: Some(role) };
                world.0.apply(&Command::User(put)).expect("lawful");
            }
            world
        }

        fn by(&mut self, user: &str, command: Command) -> Result<(), Refusal> {
            let author = Author { user: user.into(), request: "r".into(), at: 7 };
            self.0.apply(&Command::By { author, command: Box::new(command) }).map(|_| ())
        }

        fn create(&mut self, user: &str, n: u128, object: Object) -> Result<Uuid, Refusal> {
            let uuid = Uuid::from_u128(n);
            self.by(user, Command::Create { uuid, object }).map(|()| uuid)
        }

        fn update(&mut self, user: &str, uuid: Uuid, object: Object) -> Result<(), Refusal> {
            let read_at = self.0.modified(object.kind(), uuid).expect("it exists");
            self.by(user, Command::Update { uuid, object, read_at })
        }
    }

    fn switch(config: Value) -> Object {
        Object::LogicalSwitch(read(config))
    }

    fn port(switch: Uuid, config: Value) -> Object {
        Object::LogicalPort { switch, config: read(config) }
    }

    fn tagged(words: &[(&str, &str)]) -> Value {
        let tags: Vec<Value> = words.iter().map(|(scope, tag)| json!({"scope": scope, "tag": tag})).collect();
        json!({ "tags": tags })
    }

    fn is_forbidden<T>(outcome: Result<T, Refusal>) -> bool {
        matches!(outcome, Err(Refusal::Forbidden { .. }))
    }

    fn is_hidden<T>(outcome: Result<T, Refusal>) -> bool {
        matches!(outcome, Err(Refusal::NotFound { .. } | Refusal::NoSuchReference { .. }))
    }

    #[test]
    fn tenants_change_what_is_theirs_and_do_not_learn_of_what_is_not() {
        let mut world = World::new();
        let own = tagged(&[("os_tid", "a")]);
        let net = world.create("a", 1, switch(own.clone())).expect("it is their own");
        assert!(is_forbidden(world.create("a", 2, switch(json!({})))), "it would be nobody's");
        assert!(is_forbidden(world.create("a", 2, Object::TransportZone(read(own.clone())))));
        assert!(is_forbidden(world.create("eye", 2, switch(json!({})))));
        let lport = world.create("a", 3, port(net, own.clone())).expect("on their own switch");
        assert!(is_hidden(world.create("b", 4, port(net, tagged(&[("os_tid", "b")])))));
        assert!(is_hidden(world.update("b", net, switch(tagged(&[("os_tid", "b")])))));
        for (kind, uuid) in [(Kind::LogicalSwitch, net), (Kind::LogicalPort, lport)] {
            assert!(is_hidden(world.by("b", Command::Delete { kind, uuid })));
        }
        let vif = Attachment::Vif { vif_uuid: "v".into() };
        assert!(is_hidden(world.by("b", Command::Attach { port: lport, attachment: vif.clone() })));
        world.by("a", Command::Attach { port: lport, attachment: vif }).expect("it is their own");
        assert!(is_forbidden(world.update("a", net, switch(json!({})))), "it cannot be given away");

        let profile = world.create("b", 5, Object::SecurityProfile(read(tagged(&[("os_tid", "b")])))).expect("own");
        let with = |words: &[(&str, &str)], more: Value| {
            let mut config = tagged(words);
            config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            config
        };
        let uses = with(&[("os_tid", "a")], json!({"security_profiles": [profile]}));
        assert!(is_hidden(world.update("a", lport, port(net, uses.clone()))), "it is not theirs");
        let lent = tagged(&[("os_tid", "b"), (SHARED_SCOPE, "a")]);
        world.update("b", profile, Object::SecurityProfile(read(lent))).expect("it is theirs to lend");
        world.update("a", lport, port(net, uses)).expect("it is lent");
        let mirrors = with(&[("os_tid", "a")], json!({"mirror_targets": ["192.0.2.1"]}));
        assert!(is_forbidden(world.update("a", lport, port(net, mirrors.clone()))));
        world.update("root", lport, port(net, mirrors.clone())).expect("an administrator may");
        world.update("a", lport, port(net, mirrors)).expect("it is not changed");
    }

    #[test]
    fn what_is_lent_can_be_used_and_not_changed() {
        let mut world = World::new();
        let net = world.create("root", 1, switch(tagged(&[(SHARED_SCOPE, "True")]))).expect("lawful");
        let lport = world.create("a", 2, port(net, tagged(&[("os_tid", "a")]))).expect("the network is lent");
        assert!(is_forbidden(world.by("a", Command::Delete { kind: Kind::LogicalSwitch, uuid: net })));
        assert!(is_hidden(world.by("b", Command::Delete { kind: Kind::LogicalPort, uuid: lport })));
        let zone = world.create("root", 3, Object::TransportZone(read(json!({})))).expect("lawful");
        let over = |kind: &str| {
            let mut config = tagged(&[("os_tid", "a")]);
            config["transport_zones"] = json!([{"zone_uuid": zone, "transport_type": kind}]);
            switch(config)
        };
        world.create("a", 4, over("geneve")).expect("zones are no secret");
        assert!(is_forbidden(world.create("a", 5, over("bridge"))));
    }

    #[test]
    fn an_administrator_stays_and_what_was_done_is_recorded() {
        let mut world = World::new();
        let put = |name: &str, role: Role| {
            Command::User(UserCommand::Put { name: name.into(), password_hash: None, role: Some(role) })
        };
        let last = Refusal::LastAdmin { name: "root".into() };
        assert_eq!(world.by("root", put("root", Role::Operator)), Err(last.clone()));
        assert_eq!(world.by("root", Command::User(UserCommand::Remove { name: "root".into() })), Err(last));
        assert!(is_forbidden(world.by("a", put("a", Role::Admin))));
        assert!(matches!(world.by("nobody", put("a", Role::Admin)), Err(Refusal::NoSuchUser { .. })));
        world.by("root", put("eye", Role::Admin)).expect("lawful");
        world.by("eye", Command::User(UserCommand::Remove { name: "root".into() })).expect("another is left");
        world.by("eye", Command::ReadOnly { on: true }).expect("lawful");
        assert_eq!(world.create("eye", 1, switch(json!({}))), Err(Refusal::ReadOnly));
        world.by("eye", Command::ReadOnly { on: false }).expect("it can be ended");
        world.create("eye", 1, switch(json!({}))).expect("lawful");
        let last = world.0.audit().back().expect("there is a record").clone();
        assert_eq!((last.revision, last.author.user.as_str(), last.author.at), (world.0.revision(), "eye", 7));
        assert_eq!((last.action.as_str(), last.kind, last.refused), ("create", Some(Kind::LogicalSwitch), None));
        assert_eq!(world.0.audit().iter().filter(|record| record.refused.is_some()).count(), 5);
        for n in 2..AUDIT_MAX as u128 + 10 {
            world.create("eye", n, switch(json!({}))).expect("lawful");
        }
        assert_eq!(world.0.audit().len(), AUDIT_MAX);
    }
}
