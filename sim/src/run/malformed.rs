//! Requests that no client should send: each must be refused with a status below 500. Start at [`call`].

use super::client::Call;
use hyper::Method;

/// Methods, paths and bodies that are wrong, each in its way.
const CATALOGUE: &[(&str, &str, &[u8])] = &[
    ("POST", "/ws.v1/lswitch", b"{"),
    ("POST", "/ws.v1/lswitch", b"[]"),
    ("POST", "/ws.v1/lswitch", b"null"),
    ("POST", "/ws.v1/lswitch", b"\xff\xfe"),
    ("POST", "/ws.v1/lswitch", br#"{"display_name": 7}"#),
    ("POST", "/ws.v1/lswitch", br#"{"transport_zones": [{"zone_uuid": "no", "transport_type": "stt"}]}"#),
    ("POST", "/ws.v1/lswitch", br#"{"port_isolation_enabled": "maybe"}"#),
    ("POST", "/ws.v1/lswitch", br#"{"tags": [{"scope": "a"}]}"#),
    ("POST", "/ws.v1/lswitch/00000000-0000-0000-0000-000000000000/lport", b"{}"),
    ("POST", "/ws.v1/lswitch/not-a-uuid/lport", b"{}"),
    ("PUT", "/ws.v1/lswitch/00000000-0000-0000-0000-000000000000", b"{}"),
    ("DELETE", "/ws.v1/lswitch/00000000-0000-0000-0000-000000000000", b""),
    ("DELETE", "/ws.v1/lswitch", b""),
    ("GET", "/ws.v1/lswitch?_page_length=-1", b""),
    ("GET", "/ws.v1/lswitch?_page_cursor=nonsense", b""),
    ("GET", "/ws.v1/lswitch?fields=nothing", b""),
    ("GET", "/ws.v1/lswitch?uuid=%00", b""),
    ("GET", "/ws.v1/nothing", b""),
    ("GET", "/", b""),
    ("PUT", "/ws.v1/transport-node", b"{}"),
    ("POST", "/ws.v1/transport-node", br#"{"credential": {"type": "MgmtAddrCredential"}}"#),
    ("POST", "/ws.v1/transport-node", br#"{"transport_connectors": [{"type": "STTConnector"}]}"#),
    (
        "POST",
        "/ws.v1/transport-node",
        br#"{"credential": {"type": "SecurityCertificateCredential", "client_certificate": {"pem_encoded": "x"}}}"#,
    ),
    ("GET", "/ws.v1/realisation?revision=x", b""),
    ("POST", "/ws.v1/trace", b"{}"),
    ("POST", "/ws.v1/trace", br#"{"lport": "x"}"#),
];

/// The catalogue's entry of a number, which may be any.
pub fn call(id: u64, kind: u8) -> Call {
    let (method, path, body) = CATALOGUE[usize::from(kind) % CATALOGUE.len()];
    let method = Method::from_bytes(method.as_bytes()).expect("the catalogue's methods are methods");
    Call { id, method, path: path.to_string(), body: body.to_vec() }
}
