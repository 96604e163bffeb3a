//! Who is let in: hypervisors by the certificate registered for them, tunnel frames by who has ports on the switch,
//! guests by either identifier, and one controller for a data directory.

use selvedge_scenarios::{Outcome, PortRequest, RealWorld, results};
use selvedge_sim::testbed::{GuestSpec, Mac, VifId};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn a_stranger_is_turned_away_and_listed() -> Outcome<()> {
    let Some(world) = RealWorld::new("stranger", 2)? else { return Ok(()) };
    let api = world.daemon.api();
    // Its registration goes, so that it is a stranger with a certificate that nobody knows.
    api.delete(&format!("/ws.v1/transport-node/{}", world.nodes[1]))?;
    world.wait("the stranger to be listed", || {
        let refused = api.get("/ws.v1/control-cluster/refused-peers")?;
        let listed = |peer: &serde_json::Value| {
            peer["peer"].as_str().is_some_and(|peer| peer.contains("10.254.1.2"))
                && peer["fingerprint"].as_str().is_some_and(|print| print.len() == 95)
        };
        Ok(results(&refused).iter().any(listed))
    })?;
    // Noise on the southbound ports disturbs nobody.
    for port in [6640, 6653] {
        for noise in [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0; 1000]] {
            TcpStream::connect(("10.254.0.1", port))?.write_all(noise)?;
        }
    }
    assert_eq!(world.node_status(&world.nodes[0])?["connection"]["connected"], true);
    Ok(())
}

#[test]
fn a_second_controller_is_refused() -> Outcome<()> {
    let Some(world) = RealWorld::new("second_controller", 1)? else { return Ok(()) };
    let output = world.daemon.command(&["controller"]).output()?;
    let text = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(!output.status.success() && text.contains("another controller runs on this data directory"), "{text}");
    Ok(())
}

#[test]
fn tunnel_frames_come_in_only_from_nodes_that_have_ports_on_the_switch() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("tunnel_admission", 3)? else { return Ok(()) };
    let switch = world.switch("red", &["geneve"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, a) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24"]))?;
    let (port_b, _b) = world.guest_on_port(&request("red-b", 2, "02:00:00:00:00:02", &["10.0.0.2/24"]))?;
    world.wait_up([&port_a, &port_b])?;
    // What a rogue hypervisor could do: send a broadcast frame with the switch's key, which is the first given out.
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
    frame.extend(b"from a tunnel".repeat(5));
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    let packet = format!(
        "in_port=controller,packet={hex},actions=set_field:1->tun_id,set_field:172.31.1.1->tun_dst,output:65001"
    );
    for (sender, admitted) in [(2usize, false), (1, true)] {
        let capture = a.capture(|frame| frame.contains(b"from a tunnel"))?;
        for _ in 0..3 {
            world.bed.hypervisors()[sender].ovs_ofctl(&["packet-out", "br-int", &packet])?;
        }
        let patience = if admitted { PATIENCE } else { Duration::from_secs(1) };
        assert_eq!(capture.next(patience).is_some(), admitted, "from hypervisor {}", sender + 1);
    }
    Ok(())
}

#[test]
fn a_xen_guest_is_found_by_its_vif_uuid() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("xen_guest", 2)? else { return Ok(()) };
    let switch = world.switch("red", &["vxlan"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, a) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24"]))?;
    let port_x = world.port(&request("red-x", 2, "02:00:00:00:00:02", &["10.0.0.2/24"]))?;
    let uuid = "11111111-2222-3333-4444-555555555555";
    world.daemon.api().put(&format!("{port_x}/attachment"), &json!({ "type": "VifAttachment", "vif_uuid": uuid }))?;
    let vif = VifId::XsVifUuid(uuid.to_string());
    let spec = GuestSpec::new("red-x".parse()?, Mac([2, 0, 0, 0, 0, 2]), vec!["10.0.0.2/24".parse()?], vif);
    world.bed.add_guest("hv2".parse()?, spec)?;
    world.wait_up([&port_a, &port_x])?;
    a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or("the Xen guest does not answer")?;
    Ok(())
}
