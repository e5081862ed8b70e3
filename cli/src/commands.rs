//! One file per subcommand: its arguments, and what it does.

pub(crate) mod cert;
pub(crate) mod doctor;
