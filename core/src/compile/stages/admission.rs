//! Stage *admission*: what no guest may send; and the frame of the pipeline, the way on where no flow decides.

use super::super::fragment::Builder;
use super::goto;
use crate::addr::Mac;
use crate::flow::{Actions, Field, Match};
use crate::pipeline::Stage;

const REFUSED: u16 = 100;
const OTHERWISE: u16 = 0;

/// The flows that every node has.
pub fn base(out: &mut Builder) {
    let tagged = Match::any().masked(Field::VlanVid, 0x1000u16, 0x1000u16);
    out.flow(Stage::Admission, REFUSED, tagged, Actions::drop());
    let group_source = Match::any().masked(Field::EthSrc, Mac::GROUP_BIT, Mac::GROUP_BIT);
    out.flow(Stage::Admission, REFUSED, group_source, Actions::drop());
    let way_on = [
        (Stage::Admission, Stage::PortSecurity),
        (Stage::PortSecurityArpNd, Stage::ArpNd),
        (Stage::ArpNd, Stage::Isolation),
        (Stage::Isolation, Stage::L2Lookup),
    ];
    for (stage, next) in way_on {
        out.flow(stage, OTHERWISE, Match::any(), [goto(next)]);
    }
}
