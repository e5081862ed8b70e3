//! Ctrl-C: the first ends a campaign behind the runs at hand, the second ends the process.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a shell expects of a process that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C was pressed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the process may not listen for signals.
    pub(crate) fn watch() -> io::Result<Self> {
        let interrupt = Self::default();
        let (heard, runtime) =
            (interrupt.clone(), tokio::runtime::Builder::new_current_thread().enable_io().build()?);
        let mut pressed = {
            let _inside = runtime.enter();
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?
        };
        std::thread::spawn(move || {
            runtime.block_on(pressed.recv());
            heard.0.store(true, Ordering::Relaxed);
            eprintln!("ends behind the runs at hand; Ctrl-C once more ends at once");
            runtime.block_on(pressed.recv());
            std::process::exit(INTERRUPTED.into());
        });
        Ok(interrupt)
    }

    pub(crate) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
