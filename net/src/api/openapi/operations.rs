//! What can be asked of the API: of each kind, as its row says, and besides. Start at [`operations()`].

use super::super::kinds::{Below, KINDS, Part, Row};
use super::super::query::COMMON;
use super::operation::{Answer, BYTES, EVENTS, OPEN_METRICS, Operation, PLAIN, get_one};
use super::schemas::needed;
use selvedge_core::nib::Kind;

const SHOWN: [(&str, &str); 2] = [
    ("fields", "The fields to send: `*`, or names with commas between. Names that do not exist are ignored."),
    ("relations", "What to add as `_relations`: names with commas between."),
];

const PAGING: [(&str, &str); 2] = [
    ("_page_length", "Most objects on the page: 1000 by default, 5000 at most; 0 asks only how many there are."),
    ("_page_cursor", "Where the page begins: `page_cursor` of the page before."),
];

const FILTER: &str = "Keep what equals the value. It may begin with an operator: `=`, `!=`, `~` (contains, or matches if \
                      there is a `*`), `!~`.";

const TIME_FILTER: &str = "Keep what changed last then: seconds since 1970, after `=`, `!=`, `<`, `<=`, `>` or `>=`.";

/// Everything that is served.
pub(super) fn operations() -> Vec<Operation> {
    KINDS.iter().flat_map(of_kind).chain(besides()).collect()
}

fn of_kind(row: &Row) -> Vec<Operation> {
    let (list, kind) = (row.path(), row.kind);
    let types = || row.types.to_vec();
    let one = |path: &str, summary: String| Operation { answer: Answer::One(types()), ..get_one(path, &summary, "") };
    let object = format!("{list}/{{uuid}}");
    let of_all = COMMON.into_iter().filter(|name| row.tagged || !name.starts_with("tag"));
    let filters = of_all.chain(row.filters.iter().map(|filter| filter.name));
    let filters = filters.map(|filter| {
        (filter, if ["last_modified", "alert_changed_since"].contains(&filter) { TIME_FILTER } else { FILTER })
    });
    let all = PAGING.into_iter().chain(SHOWN).chain(filters).collect();
    let mut operations = vec![
        Operation { query: all, answer: Answer::List(types()), ..one(&list, format!("List {kind}s")) },
        Operation {
            method: "post",
            body: types(),
            needed: needed(row),
            status: 201,
            ..one(&list, format!("Make a {kind}"))
        },
        Operation { query: SHOWN.to_vec(), ..one(&object, format!("Show a {kind}")) },
        Operation {
            method: "put",
            body: types(),
            ..one(&object, format!("Change a {kind}: fields left out keep their values"))
        },
        Operation {
            method: "delete",
            status: 204,
            answer: Answer::Nothing,
            ..one(&object, format!("Remove a {kind}"))
        },
    ];
    operations.extend(row.below.iter().flat_map(|below| of_below(row, below, &object)));
    operations
}

fn of_below(row: &Row, below: &Below, object: &str) -> Vec<Operation> {
    let (path, kind) = (format!("{object}/{}", below.segment()), row.kind);
    match below {
        Below::Status(view) => vec![get_one(&path, &format!("What is known of a {kind}"), view.type_name)],
        Below::Attachment(types) => {
            let show = get_one(&path, &format!("Show what a {kind} is plugged into"), "");
            let plug = get_one(&path, &format!("Plug a {kind} in, or out"), "");
            let answer = || Answer::One(types.to_vec());
            vec![
                Operation { answer: answer(), ..show },
                Operation { method: "put", body: types.to_vec(), answer: answer(), ..plug },
            ]
        }
        Below::Statistic => {
            let show = get_one(&path, &format!("What passed a {kind}"), "LogicalPortStatistics");
            let reset = get_one(&path, &format!("Count what passes a {kind} from now on"), "");
            vec![show, Operation { method: "delete", status: 204, answer: Answer::Nothing, ..reset }]
        }
        Below::Part(part) => of_part(part, &path, kind),
        Below::Queues => {
            let show = get_one(&path, &format!("List the queues that the ports of a {kind} use"), "");
            vec![Operation { answer: Answer::List(vec!["LogicalQueueConfig"]), query: SHOWN.to_vec(), ..show }]
        }
    }
}

fn of_part(part: &Part, path: &str, kind: Kind) -> Vec<Operation> {
    let one = |summary: &str| get_one(path, &format!("{summary} `{}` of a {kind}", part.segment), part.type_name);
    let put = Operation { method: "put", body: vec![part.type_name], ..one("Change fields of") };
    let host = part.host.iter().map(|host| Operation {
        method: "post",
        query: vec![("action", "`add_host` or `remove_host`: what is done with the host in the body.")],
        body: vec![host.type_name],
        ..one("Add a host to, or remove it from,")
    });
    [one("Show"), put].into_iter().chain(host).collect()
}

fn besides() -> Vec<Operation> {
    let node = "/ws.v1/control-cluster/node/{uuid}";
    let plain = |path: &str, summary: &str, answer| Operation { answer, ..get_one(path, summary, "") };
    let open = |operation: Operation| Operation { session: false, ..operation };
    let login = plain("/ws.v1/login", "Open a session with `username` and `password`", Answer::Text(PLAIN));
    let wait = get_one("/ws.v1/realisation", "Wait until transport nodes hold the configuration", "Realisation");
    let wait_for = vec![
        ("revision", "Up to this revision; by default that of now."),
        ("since", "Only revisions after this one."),
        ("timeout_ms", "Longest wait in milliseconds: 5000 by default, 60000 at most."),
    ];
    vec![
        open(Operation { method: "post", ..login }),
        plain("/ws.v1/logout", "End the session", Answer::Text(PLAIN)),
        plain("/ws.v1/control-cluster", "Whether the cluster serves", Answer::Json),
        get_one("/ws.v1/control-cluster/status", "The state of the control cluster", "ControlClusterStatus"),
        Operation {
            query: SHOWN[..1].to_vec(),
            answer: Answer::List(vec!["ControlClusterNodeConfig"]),
            ..get_one("/ws.v1/control-cluster/node", "List the members of the control cluster", "")
        },
        get_one(node, "Show a member of the control cluster", "ControlClusterNodeConfig"),
        Operation {
            method: "delete",
            status: 204,
            answer: Answer::Nothing,
            ..get_one(node, "Dismiss a member: it stops by itself", "")
        },
        Operation {
            method: "put",
            status: 204,
            answer: Answer::Nothing,
            ..get_one(&format!("{node}/draining"), "Hand a member's transport nodes to others, or end that", "")
        },
        get_one(&format!("{node}/status"), "The state of a member", "ControlClusterNodeStatus"),
        get_one("/ws.v1/control-cluster/member", "How members are, as the leader sees them", "ClusterMembers"),
        plain(
            "/ws.v1/control-cluster/backup",
            "Everything, and the certificate authority: to be restored from",
            Answer::Text(BYTES),
        ),
        Operation {
            method: "post",
            status: 201,
            ..plain("/ws.v1/control-cluster/invitation", "Let one more controller join: makes a token", Answer::Json)
        },
        get_one("/ws.v1/control-cluster/maintenance", "Whether users may only read", "Maintenance"),
        Operation {
            method: "put",
            body: vec!["Maintenance"],
            ..get_one(
                "/ws.v1/control-cluster/maintenance",
                "Let users only read, or change things again",
                "Maintenance",
            )
        },
        Operation { answer: Answer::List(vec!["UserConfig"]), ..get_one("/ws.v1/user", "List the users", "") },
        get_one("/ws.v1/user/{name}", "Show a user", "UserConfig"),
        Operation {
            method: "put",
            body: vec!["UserWish"],
            ..get_one("/ws.v1/user/{name}", "Add a user (201), or change one: what is left out stays", "UserConfig")
        },
        Operation {
            method: "delete",
            status: 204,
            answer: Answer::Nothing,
            ..get_one("/ws.v1/user/{name}", "Remove a user: their sessions end", "")
        },
        Operation {
            query: vec![
                ("since", "What was done after this revision."),
                ("_page_length", "Most entries: 100 by default, 1000 at most."),
            ],
            answer: Answer::List(vec!["AuditEntry"]),
            ..get_one("/ws.v1/audit", "What users did, oldest first", "")
        },
        Operation {
            answer: Answer::List(vec!["RefusedPeer"]),
            ..get_one("/ws.v1/control-cluster/refused-peers", "Peers that were turned away as transport nodes", "")
        },
        Operation { query: wait_for, ..wait },
        get_one(
            "/ws.v1/transport-node/{uuid}/interface/{name}/statistic",
            "What passed an interface of a transport node",
            "TransportNodeInterfaceStatistics",
        ),
        plain("/ws.v1/transport-node/{uuid}/flows", "The flows that a transport node should hold", Answer::Json),
        Operation {
            method: "post",
            ..plain("/ws.v1/trace", "What becomes of a packet that a logical port's guest sends", Answer::Json)
        },
        Operation {
            query: vec![
                (
                    "since",
                    "Tell what changed after this revision; by default from now on. `Last-Event-ID` says the same.",
                ),
                ("kinds", "Only of these kinds, with commas between: `lswitch`, `lswitch/lport`."),
            ],
            ..plain("/ws.v1/watch", "Follow changes: `change`, `current` and `reset` events", Answer::Text(EVENTS))
        },
        plain("/ws.v1/schema", "List the schemas", Answer::Json),
        plain("/ws.v1/schema/{type}", "Show a schema", Answer::Json),
        plain("/ws.v1/doc/method", "List what can be asked", Answer::Json),
        plain("/ws.v1/doc/method/{name}", "Show something that can be asked", Answer::Json),
        open(plain("/ws.v1/openapi.json", "This document", Answer::Json)),
        plain("/metrics", "What the controller does, for Prometheus", Answer::Text(OPEN_METRICS)),
        open(plain("/healthz", "The process answers", Answer::Json)),
        open(plain("/readyz", "The controller serves, and its revision", Answer::Json)),
    ]
}
