//! What the system has to offer for hosts.

use std::{
    io::ErrorKind,
    process::{Command, Stdio},
};

use crate::BenchError;

/// Whether hosts can be made here, and what is missing if not.
pub(crate) fn check_system() -> Result<(), BenchError> {
    run("ip", &["-V"])?;
    run("unshare", &["--net", "true"])
}

/// Runs `ip` with these arguments, separated by blanks.
pub(crate) fn ip(args: &str) -> Result<(), BenchError> {
    run("ip", &args.split(' ').collect::<Vec<_>>())
}

/// Runs a command that hosts need.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<(), BenchError> {
    let package = if program == "ip" { "iproute2" } else { "util-linux" };
    let output =
        Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|error| {
            match error.kind() {
                ErrorKind::NotFound => BenchError::Missing(format!(
                    "hosts are made with the command `{program}`: install {package}"
                )),
                _ => BenchError::Io(error),
            }
        })?;
    if output.status.success() {
        return Ok(());
    }
    let (line, said) = (args.join(" "), String::from_utf8_lossy(&output.stderr));
    let said = said.lines().next().unwrap_or("it does not say why");
    Err(BenchError::Missing(format!(
        "`{program} {line}` failed ({said}): hosts of their own networks need root"
    )))
}
