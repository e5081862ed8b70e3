//! Standard input, read on a thread of its own: a read that never returns holds up nothing, not
//! even the end of the process.

use std::io;

use tokio::sync::oneshot;

/// Completes when standard input ends.
pub(crate) async fn ended() {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        // An error is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = tell.send(());
    });
    // The sender is dropped only after it has sent.
    let _ = told.await;
}
