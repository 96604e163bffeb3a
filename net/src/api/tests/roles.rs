//! Who may do what: roles, tenants, users, maintenance, the audit log. Start at [`Cast`].

use super::*;
use tokio::task::JoinSet;

/// A server, and one cookie for each of its users.
struct Cast {
    server: TestServer,
    operator: String,
    a: String,
    b: String,
}

impl Cast {
    async fn new() -> Cast {
        Cast::with_rate(TENANT_RATE).await
    }

    async fn with_rate(tenant_rate: Rate) -> Cast {
        let server = TestServer::with_rate(tenant_rate).await;
        let tags = |word: &str| json!([{"scope": "os_tid", "tag": word}]);
        let users = [
            ("eye", json!({"password": PASSWORD, "role": "operator"})),
            ("a", json!({"password": PASSWORD, "role": "tenant", "tags": tags("a")})),
            ("b", json!({"password": PASSWORD, "role": "tenant", "tags": tags("b")})),
        ];
        for (name, body) in users {
            let answer = server.send(Method::PUT, &format!("/ws.v1/user/{name}"), &body.to_string()).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
            assert!(!answer.text.contains("argon2"), "hashes stay here");
        }
        let (operator, a, b) = (login(&server, "eye").await, login(&server, "a").await, login(&server, "b").await);
        Cast { server, operator, a, b }
    }

    async fn by(&self, cookie: &str, method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.server.send_with(method, path, &body, &[("cookie", cookie)]).await
    }

    async fn status(&self, cookie: &str, method: Method, path: &str, body: &Value) -> u16 {
        self.by(cookie, method, path, body).await.status.as_u16()
    }

    async fn create(&self, cookie: &str, path: &str, body: Value) -> String {
        let answer = self.by(cookie, Method::POST, path, &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "POST {path}: {}", answer.text);
        answer.json()["uuid"].as_str().expect("a uuid").to_string()
    }
}

async fn login(server: &TestServer, user: &str) -> String {
    let form = format!("username={user}&password={PASSWORD}");
    let answer = server.send_with(Method::POST, "/ws.v1/login", &form, &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.headers["set-cookie"].to_str().expect("text").to_string()
}

/// A tenant's objects of all kinds that they may make, by path.
async fn belongings(cast: &Cast, cookie: &str) -> Vec<String> {
    let switch = cast.create(cookie, "/ws.v1/lswitch", json!({})).await;
    let router = json!({"routing_config": {"type": "RoutingTableRoutingConfig"}});
    let router = cast.create(cookie, "/ws.v1/lrouter", router).await;
    let lent = json!({"tags": [{"scope": "shared", "tag": "true"}]});
    let edges = cast.create(&cast.server.cookie, "/ws.v1/edge-cluster", lent).await;
    let node = cast.create(cookie, "/ws.v1/lservices-node", json!({ "edge_cluster_uuid": edges })).await;
    let tops = [("lswitch", &switch), ("lrouter", &router), ("lservices-node", &node)];
    let mut paths: Vec<String> = tops.iter().map(|(kind, uuid)| format!("/ws.v1/{kind}/{uuid}")).collect();
    let rest = [
        (format!("/ws.v1/lswitch/{switch}/lport"), json!({})),
        (format!("/ws.v1/lrouter/{router}/lport"), json!({})),
        (format!("/ws.v1/lrouter/{router}/nat"), json!({"type": "NoSourceNatRule", "match": {}})),
        (format!("/ws.v1/lrouter/{router}/rib"), json!({"prefix": "0.0.0.0/0", "next_hop_ip": "1.1.1.1"})),
        (format!("/ws.v1/lservices-node/{node}/lport"), json!({})),
        ("/ws.v1/security-profile".to_string(), json!({})),
        ("/ws.v1/acl".to_string(), json!({})),
        ("/ws.v1/lqueue".to_string(), json!({})),
    ];
    for (list, body) in rest {
        let uuid = cast.create(cookie, &list, body).await;
        paths.push(format!("{list}/{uuid}"));
    }
    paths
}

#[tokio::test]
async fn each_role_may_do_what_it_may_to_each_kind() {
    let cast = Cast::new().await;
    let admin = cast.server.cookie.clone();
    let paths = belongings(&cast, &cast.a).await;
    for path in &paths {
        let (list, uuid) = path.rsplit_once('/').expect("a path");
        let everywhere = match list.split('/').collect::<Vec<_>>()[..] {
            ["", "ws.v1", parent, _, kind] => format!("/ws.v1/{parent}/*/{kind}"),
            _ => list.to_string(),
        };
        let nothing = json!({});
        for (cookie, reads, changes) in
            [(&admin, 200, 200), (&cast.operator, 200, 403), (&cast.a, 200, 200), (&cast.b, 404, 404)]
        {
            assert_eq!(cast.status(cookie, Method::GET, path, &Value::Null).await, reads, "GET {path}");
            assert_eq!(cast.status(cookie, Method::PUT, path, &nothing).await, changes, "PUT {path}");
            let listed = cast.by(cookie, Method::GET, &format!("{everywhere}?uuid={uuid}"), &Value::Null).await.json();
            assert_eq!(listed["result_count"] == 1, reads == 200, "GET {everywhere}: {listed}");
            let counted = cast.by(cookie, Method::GET, &format!("{everywhere}?_page_length=0"), &Value::Null).await;
            assert_eq!(counted.json()["result_count"] == 0, reads == 404, "others are not even counted");
            let (status, attachment) = (format!("{path}/status"), format!("{path}/attachment"));
            assert_eq!(cast.status(cookie, Method::GET, &status, &Value::Null).await, reads, "GET {status}");
            if path.contains("lservices-node") {
                let dhcp = format!("{path}/dhcp");
                assert_eq!(cast.status(cookie, Method::GET, &dhcp, &Value::Null).await, reads, "GET {dhcp}");
                assert_eq!(cast.status(cookie, Method::PUT, &dhcp, &nothing).await, changes, "PUT {dhcp}");
            } else if path.contains("/lport/") {
                let counters = format!("{path}/statistic");
                let resets = if changes == 200 { 204 } else { changes };
                assert_eq!(cast.status(cookie, Method::GET, &counters, &Value::Null).await, reads, "GET {counters}");
                assert_eq!(
                    cast.status(cookie, Method::DELETE, &counters, &Value::Null).await,
                    resets,
                    "DELETE {counters}"
                );
            }
            if path.contains("/lport/") {
                assert_eq!(cast.status(cookie, Method::GET, &attachment, &Value::Null).await, reads);
                let unplug = json!({"type": "NoAttachment"});
                assert_eq!(cast.status(cookie, Method::PUT, &attachment, &unplug).await, changes, "PUT {attachment}");
            }
        }
        // Parents of another's objects are not there, either.
        if list.matches('/').count() > 3 {
            assert_eq!(cast.status(&cast.b, Method::GET, list, &Value::Null).await, 404, "GET {list}");
            assert_eq!(cast.status(&cast.b, Method::POST, list, &nothing).await, 404, "POST {list}");
        }
        let answer = cast.by(&cast.operator, Method::DELETE, path, &Value::Null).await;
        assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::FORBIDDEN, &json!("FORBIDDEN")), "{path}");
        assert_eq!(cast.status(&cast.b, Method::DELETE, path, &Value::Null).await, 404, "{path}");
    }
    for path in paths.iter().rev() {
        assert_eq!(cast.status(&cast.a, Method::DELETE, path, &Value::Null).await, 204, "{path}");
    }
    let infrastructure = ["transport-zone", "transport-node", "gateway-service", "edge-cluster"];
    let body = json!({"type": "L3GatewayServiceConfig"});
    for kind in infrastructure {
        let body = if kind == "gateway-service" { &body } else { &json!({}) };
        for cookie in [&cast.operator, &cast.a] {
            assert_eq!(cast.status(cookie, Method::POST, &format!("/ws.v1/{kind}"), body).await, 403, "{kind}");
        }
        let uuid = cast.create(&admin, &format!("/ws.v1/{kind}"), body.clone()).await;
        let seen = if kind == "transport-zone" { 200 } else { 404 };
        assert_eq!(
            cast.status(&cast.a, Method::GET, &format!("/ws.v1/{kind}/{uuid}"), &Value::Null).await,
            seen,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn what_is_not_a_resource_is_for_those_who_run_the_network() {
    let cast = Cast::new().await;
    let admin = cast.server.cookie.clone();
    let node = cast.create(&admin, "/ws.v1/transport-node", json!({})).await;
    let controller = "00000000-0000-0000-0000-000000000000";
    let get = async |cookie: &str, path: &str| cast.status(cookie, Method::GET, path, &Value::Null).await;
    for path in [
        "/metrics",
        "/ws.v1/realisation",
        "/ws.v1/audit",
        "/ws.v1/control-cluster/member",
        "/ws.v1/control-cluster/refused-peers",
        "/ws.v1/control-cluster/maintenance",
        &format!("/ws.v1/transport-node/{node}/flows"),
        &format!("/ws.v1/control-cluster/node/{controller}"),
    ] {
        assert_eq!((get(&cast.operator, path).await, get(&cast.a, path).await), (200, 403), "{path}");
    }
    for path in
        ["/ws.v1/control-cluster", "/ws.v1/control-cluster/status", "/ws.v1/control-cluster/node", "/ws.v1/schema"]
    {
        assert_eq!(get(&cast.a, path).await, 200, "{path}");
    }
    for (method, path) in [
        (Method::GET, "/ws.v1/user"),
        (Method::PUT, "/ws.v1/user/c"),
        (Method::DELETE, "/ws.v1/user/a"),
        (Method::GET, "/ws.v1/control-cluster/backup"),
        (Method::POST, "/ws.v1/control-cluster/invitation"),
        (Method::PUT, "/ws.v1/control-cluster/maintenance"),
        (Method::PUT, &format!("/ws.v1/control-cluster/node/{controller}/draining")),
        (Method::DELETE, &format!("/ws.v1/control-cluster/node/{controller}")),
    ] {
        for cookie in [&cast.operator, &cast.a] {
            assert_eq!(cast.status(cookie, method.clone(), path, &json!({})).await, 403, "{method} {path}");
        }
    }
    assert_eq!(get(&cast.a, "/ws.v1/watch").await, 403);
    let packet = json!({"port": controller});
    assert_eq!(cast.status(&cast.a, Method::POST, "/ws.v1/trace", &packet).await, 403);
    assert_eq!(get(&cast.a, "/ws.v1/lswitch/*/lport?attachment_node_uuid=x").await, 403);
    assert_eq!(get(&cast.operator, "/ws.v1/lswitch/*/lport?attachment_node_uuid=x").await, 200);
}

#[tokio::test]
async fn tenants_use_what_is_lent_and_are_told_nothing_of_hypervisors() {
    let cast = Cast::new().await;
    let admin = cast.server.cookie.clone();
    let lent = json!({"tags": [{"scope": "shared", "tag": "True"}]});
    let switch = cast.create(&admin, "/ws.v1/lswitch", lent).await;
    let ports = format!("/ws.v1/lswitch/{switch}/lport");
    let of_admin = cast.create(&admin, &ports, json!({})).await;
    let port = cast.create(&cast.a, &ports, json!({})).await;
    let shown =
        cast.by(&cast.a, Method::GET, &format!("{ports}/{port}?relations=LogicalPortStatus"), &Value::Null).await;
    assert_eq!(shown.json()["tags"], json!([{"scope": "os_tid", "tag": "a"}]), "it got the tenant's tag");
    let direct = cast.by(&cast.a, Method::GET, &format!("{ports}/{port}/status"), &Value::Null).await.json();
    for status in [&shown.json()["_relations"]["LogicalPortStatus"], &direct] {
        assert_eq!(status["link_status_up"], false);
        for hidden in ["transport_node_uuid", "vif_interface", "reason"] {
            assert_eq!(status.get(hidden), None, "{hidden}");
        }
    }
    assert_eq!(cast.status(&cast.a, Method::GET, &format!("{ports}/{of_admin}"), &Value::Null).await, 404);
    assert_eq!(cast.status(&cast.b, Method::GET, &format!("{ports}/{port}"), &Value::Null).await, 404);
    assert_eq!(cast.status(&cast.a, Method::PUT, &format!("/ws.v1/lswitch/{switch}"), &json!({})).await, 403);

    let queue = cast.create(&cast.b, "/ws.v1/lqueue", json!({})).await;
    let refused = cast.by(&cast.a, Method::PUT, &format!("{ports}/{port}"), &json!({"queue_uuid": queue})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::BAD_REQUEST, &json!("NO_SUCH_REFERENCE")));
    let mirrors = json!({"mirror_targets": ["192.0.2.1"]});
    assert_eq!(cast.status(&cast.a, Method::PUT, &format!("{ports}/{port}"), &mirrors).await, 403);
    let away = json!({"tags": []});
    assert_eq!(cast.status(&cast.a, Method::PUT, &format!("{ports}/{port}"), &away).await, 403);
}

#[tokio::test]
async fn users_are_kept_and_sessions_end_with_their_passwords() {
    let cast = Cast::new().await;
    let admin = cast.server.cookie.clone();
    let user = cast.by(&admin, Method::GET, "/ws.v1/user/a", &Value::Null).await.json();
    assert_eq!(user, json!({"name": "a", "role": "tenant", "tags": [{"scope": "os_tid", "tag": "a"}]}));
    assert_eq!(cast.by(&admin, Method::GET, "/ws.v1/user", &Value::Null).await.json()["result_count"], 4);
    let put = async |name: &str, body: Value| cast.by(&admin, Method::PUT, &format!("/ws.v1/user/{name}"), &body).await;
    assert_eq!(put("a", json!({"password": "another password"})).await.status, StatusCode::OK);
    assert_eq!(cast.status(&cast.a, Method::GET, "/ws.v1/lswitch", &Value::Null).await, 401);
    assert_eq!(put("b", json!({"role": "operator"})).await.status, StatusCode::OK);
    assert_eq!(cast.status(&cast.b, Method::GET, "/ws.v1/audit", &Value::Null).await, 200, "at once");
    for (name, body, want) in [
        ("c", json!({"role": "admin"}), "needs a password"),
        ("c", json!({"password": "long enough"}), "needs a password and a role"),
        ("c", json!({"password": "short", "role": "admin"}), "password: it must be 8"),
        ("c", json!({"password": "long enough", "role": "king"}), "role: it must be"),
        ("c", json!({"password": "long enough", "role": "tenant"}), "tags: a tenant has"),
        ("a", json!({"tags": [{"tag": "x"}]}), "tags: only a tenant"),
        ("a", json!({"name": "b"}), "name: it is not that of the path"),
        ("a", json!({"colour": 1}), "unknown field"),
        ("a%3Ab", json!({"password": "long enough", "role": "admin"}), "name: it must be"),
    ] {
        let answer = put(name, body.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.text);
        assert!(answer.text.contains(want), "{body}: {}", answer.text);
    }
    let last = put("admin", json!({"role": "operator"})).await;
    assert_eq!((last.status, &last.json()["code"]), (StatusCode::CONFLICT, &json!("LAST_ADMIN")));
    assert_eq!(cast.status(&admin, Method::DELETE, "/ws.v1/user/eye", &Value::Null).await, 204);
    assert_eq!(cast.status(&cast.operator, Method::GET, "/ws.v1/lswitch", &Value::Null).await, 401);
    assert_eq!(cast.status(&admin, Method::DELETE, "/ws.v1/user/eye", &Value::Null).await, 404);
}

#[tokio::test]
async fn maintenance_is_read_only_in_the_words_that_clients_look_for() {
    let cast = Cast::new().await;
    let admin = cast.server.cookie.clone();
    let path = "/ws.v1/control-cluster/maintenance";
    assert_eq!(cast.by(&admin, Method::PUT, path, &json!({"is_read_only": true})).await.json()["is_read_only"], true);
    let refused = cast.by(&admin, Method::POST, "/ws.v1/lswitch", &json!({})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("read-only"), "{}", refused.text);
    assert_eq!(cast.status(&cast.a, Method::GET, "/ws.v1/lswitch", &Value::Null).await, 200);
    login(&cast.server, "a").await;
    cast.by(&admin, Method::PUT, path, &json!({"is_read_only": false})).await;
    assert_eq!(cast.status(&admin, Method::POST, "/ws.v1/lswitch", &json!({})).await, 201);
    assert_eq!(cast.status(&admin, Method::PUT, path, &json!({"on": 1})).await, 400);
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what_and_who_was_refused() {
    let cast = Cast::new().await;
    let made = cast.by(&cast.a, Method::POST, "/ws.v1/lswitch", &json!({})).await;
    let switch = made.json()["uuid"].clone();
    let forbidden = cast
        .by(&cast.operator, Method::DELETE, &format!("/ws.v1/lswitch/{}", switch.as_str().expect("text")), &Value::Null)
        .await;
    assert_eq!(forbidden.status, StatusCode::FORBIDDEN);
    let all = cast.by(&cast.operator, Method::GET, "/ws.v1/audit", &Value::Null).await.json();
    let [.., create, delete] = all["results"].as_array().expect("a list").as_slice() else { panic!("{all}") };
    assert_eq!(
        (&create["user"], &create["action"], &create["kind"]),
        (&json!("a"), &json!("create"), &json!("lswitch"))
    );
    assert_eq!((&create["uuid"], &create["refused"]), (&switch, &Value::Null));
    assert_eq!(create["request"], made.headers["x-request-id"].to_str().expect("text"));
    assert_eq!(
        create["revision"],
        made.headers["x-nvp-config-generation"].to_str().expect("text").parse::<u64>().expect("a number")
    );
    assert_eq!((&delete["user"], &delete["action"]), (&json!("eye"), &json!("delete")));
    assert!(delete["refused"].as_str().expect("a reason").contains("may only read"));
    let since = create["revision"].to_string();
    let later = cast.by(&cast.operator, Method::GET, &format!("/ws.v1/audit?since={since}"), &Value::Null).await.json();
    assert_eq!(later["results"], json!([delete]));
}

#[tokio::test]
async fn a_tenant_who_sends_too_much_waits_and_others_do_not() {
    let cast = Cast::with_rate(Rate { per_second: 10, burst: 20 }).await;
    let read = |cookie: &str| {
        let request = Request::get("/ws.v1/lswitch").header("cookie", cookie).body(Body::empty()).expect("a request");
        cast.server.router.clone().oneshot(request)
    };
    let mut all = JoinSet::new();
    (0..50).for_each(|_| _ = all.spawn(read(&cast.a)));
    for cookie in [&cast.b, &cast.operator, &cast.server.cookie] {
        assert_eq!(cast.status(cookie, Method::GET, "/ws.v1/lswitch", &Value::Null).await, 200);
    }
    let (mut answered, mut refused) = (0, 0);
    while let Some(one) = all.join_next().await {
        let answer = one.expect("it ends").expect("an answer");
        match answer.status() {
            StatusCode::OK => answered += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                assert!(answer.headers()["retry-after"].to_str().is_ok_and(|wait| wait.parse::<u64>().is_ok()));
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    // Twenty at once, ten that wait for up to a second; more if this machine is slow.
    assert!((30..45).contains(&answered) && answered + refused == 50, "{answered} and {refused}");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let server = TestServer::new().await;
    let from = async |method: Method, origin: &str| {
        let headers = [("cookie", server.cookie.as_str()), ("host", "controller:7443"), ("origin", origin)];
        server.send_with(method, "/ws.v1/lswitch", "{}", &headers).await.status.as_u16()
    };
    assert_eq!(from(Method::POST, "https://evil.example").await, 403);
    assert_eq!(from(Method::POST, "null").await, 403);
    assert_eq!(from(Method::POST, "https://controller:7443").await, 201);
    assert_eq!(from(Method::GET, "https://evil.example").await, 200, "its answer is not shown to the page");
}
