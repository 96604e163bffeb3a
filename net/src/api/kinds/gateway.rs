//! Gateway services.

use super::*;

/// `gateway-service`.
pub(super) const SERVICE: Row = Row {
    kind: Kind::GatewayService,
    segment: "gateway-service",
    types: &[
        "L2GatewayServiceConfig",
        "L3GatewayServiceConfig",
        "VtepL2GatewayServiceConfig",
        "DomainGatewayServiceConfig",
    ],
    tagged: true,
    filters: &[
        Filter { name: "types", find: Find::Field("type") },
        Filter { name: "transport_node_uuid", find: Find::Each("gateways", "transport_node_uuid") },
    ],
    relations: &[],
    below: &[KEPT],
    fields: |nib, uuid| kept(nib, Kind::GatewayService, uuid),
    parse: |map, _| json::decode(map).map(Object::GatewayService),
    schema: named::<schema::GatewayService>,
};
