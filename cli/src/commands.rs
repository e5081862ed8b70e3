//! One file per subcommand: its arguments, and what it does.

pub(crate) mod bench;
pub(crate) mod cert;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod group;
pub(crate) mod node;
pub(crate) mod publish;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod status;
pub(crate) mod subscribe;
pub(crate) mod up;
pub(crate) mod why;
