//! The bus as pure state machines.
//!
//! [`Interest`](crate::bus::Interest) says which nodes get a message of a core subject. For subjects that are bound to
//! a group, [`BoundGroup`](crate::bus::BoundGroup) is what a member does: [`Marks`](crate::bus::Marks)
//! drop what comes twice, and [`History`](crate::bus::History) keeps what was delivered of late, so
//! that readers go on where they were, here or at another node. [`Bindings`](crate::bus::Bindings) says
//! which subjects are bound to which groups.

mod acknowledged;
mod bindings;
mod bound;
mod breach;
mod carried;
mod history;
mod holders;
mod index;
mod interest;
mod marks;
mod position;
mod router;
mod subject;

pub use acknowledged::Acknowledged;
pub use bindings::{BindingEffect, Bindings};
pub use bound::{Arrival, BoundGroup, Cursor, Decision, MarksRefused, Read, Settlement};
#[doc(hidden)]
pub use breach::BusBreach;
pub use carried::{Carried, CarriesRefused, group_id, is_name};
pub use history::{Found, History};
pub use holders::Holders;
pub use interest::{Announcement, Interest, Route, TooManyWants, Want};
pub use marks::{Admission, Marks, MarksError, PublisherId, Stamp};
pub use position::Position;
pub use router::{LinkId, Router, RouterEffect, Selection, SubscriptionId};
pub use subject::{Pattern, Subject, SubjectError};
