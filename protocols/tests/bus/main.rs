//! The cores of the bus beside naive models of what they promise, under arbitrary inputs.

mod history;
mod interest;
mod router;
mod subjects;
mod wants;
