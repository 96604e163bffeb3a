//! Answers a list: walks the objects of a kind from a cursor on, in uuid order, a stretch at a time.
//!
//! The controller's state is locked for one stretch only, so that a list of everything delays nobody; what is
//! created or deleted meanwhile may or may not be shown, but an object that existed throughout always is, since its
//! place in the order never changes. Start at [`list`].

use super::Authenticated;
use super::error::ApiError;
use super::kinds::{Row, Under, row};
use super::query::ListQuery;
use crate::controller::{Handle, State};
use selvedge_core::nib::{Nib, Refusal};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Bound;
use uuid::Uuid;

/// Objects looked at under one lock.
const STRETCH: usize = 512;

/// A page of a list.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Page {
    /// The objects.
    pub results: Vec<Value>,
    /// How many objects fit, over all pages; on the first page only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_count: Option<usize>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_cursor: Option<String>,
}

/// A page of the objects of a kind: those that who asks may see.
///
/// # Errors
/// If the parent does not exist.
pub(super) fn list(
    handle: &Handle,
    row: &Row,
    under: Under,
    query: &ListQuery,
    sender: &Authenticated,
) -> Result<Page, ApiError> {
    let mut scan = Scan::new(row, under, query, sender);
    while !handle.read(|state| scan.stretch(state))? {}
    Ok(scan.page())
}

/// Visits all objects of a kind, a stretch at a time.
pub(super) fn each(handle: &Handle, row: &Row, mut visit: impl FnMut(&State, Uuid)) {
    let mut after = None;
    loop {
        let seen = handle.read(|state| {
            let stretch: Vec<Uuid> = state.nib.uuids(row.kind, None, after).take(STRETCH).collect();
            stretch.iter().for_each(|uuid| visit(state, *uuid));
            stretch
        });
        match seen.last() {
            Some(last) => after = Some(*last),
            None => return,
        }
    }
}

/// A walk on its way.
struct Scan<'q> {
    row: &'q Row,
    under: Under,
    query: &'q ListQuery,
    sender: &'q Authenticated,
    only: Option<BTreeSet<Uuid>>,
    after: Option<Uuid>,
    results: Vec<Value>,
    last_shown: Option<Uuid>,
    fitting: usize,
}

impl<'q> Scan<'q> {
    fn new(row: &'q Row, under: Under, query: &'q ListQuery, sender: &'q Authenticated) -> Scan<'q> {
        Scan {
            row,
            under,
            query,
            sender,
            only: query.conditions.only(),
            after: query.cursor,
            results: Vec::new(),
            last_shown: None,
            fitting: 0,
        }
    }

    /// Looks at the next objects; says whether nothing more needs to be looked at.
    fn stretch(&mut self, state: &State) -> Result<bool, ApiError> {
        self.check_parent(&state.nib)?;
        let stretch: Vec<Uuid> = self.uuids(&state.nib).take(STRETCH).collect();
        for uuid in &stretch {
            self.after = Some(*uuid);
            let is_seen = self.sender.sees(&state.nib, self.row.kind, *uuid);
            if is_seen && self.query.conditions.hold(self.row, state, self.under, uuid) {
                self.fits(state, uuid);
            }
            if self.query.cursor.is_some() && self.more() {
                return Ok(true);
            }
        }
        Ok(stretch.len() < STRETCH)
    }

    fn check_parent(&self, nib: &Nib) -> Result<(), ApiError> {
        match (self.under, self.row.kind.parent()) {
            (Under::Parent(uuid), Some(kind))
                if !row(kind).exists(nib, Under::Any, &uuid) || !self.sender.sees(nib, kind, uuid) =>
            {
                Err(Refusal::NotFound { kind, uuid }.into())
            }
            _ => Ok(()),
        }
    }

    fn uuids<'a>(&'a self, nib: &'a Nib) -> Box<dyn Iterator<Item = Uuid> + 'a> {
        let from = self.after.map_or(Bound::Unbounded, Bound::Excluded);
        match (&self.only, self.under) {
            (Some(only), _) => Box::new(only.range((from, Bound::Unbounded)).copied()),
            (None, Under::Parent(parent)) => nib.uuids(self.row.kind, Some(parent), self.after),
            (None, Under::Any) => nib.uuids(self.row.kind, None, self.after),
        }
    }

    fn fits(&mut self, state: &State, uuid: &Uuid) {
        self.fitting += 1;
        if self.results.len() < self.query.page_length {
            self.results.extend(self.query.shown.render(self.row, state, uuid, self.sender));
            self.last_shown = Some(*uuid);
        }
    }

    /// Whether more objects fit than the page holds.
    fn more(&self) -> bool {
        self.fitting > self.results.len()
    }

    fn page(self) -> Page {
        let more = self.more();
        let cursor = self.last_shown.filter(|_| more).map(|uuid| uuid.simple().to_string());
        Page {
            results: self.results,
            result_count: self.query.cursor.is_none().then_some(self.fitting),
            page_cursor: cursor,
        }
    }
}
