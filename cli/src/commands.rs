//! One file per subcommand: its arguments, and what it does.

pub(crate) mod cert;
pub(crate) mod doctor;
pub(crate) mod node;
pub(crate) mod up;
