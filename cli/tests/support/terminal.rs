//! Pseudo-terminals.

use std::{fs::File, process::Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

/// Makes a terminal: the screen side, and the end of it for a command. It is closed with its screen, of
/// which no command inherits a copy.
pub(crate) fn pair() -> (File, Stdio) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).expect("there are terminals");
    grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("it may be used");
    let terminal = ioctl_tiocgptpeer(&screen, flags).expect("it has another end");
    (screen.into(), terminal.into())
}
