//! Bare quinn, as links are set beside other ways.

use quorate_bench::{CryptoArgs, QuicArgs, Report, Schedule};

use super::{
    options::{Common, choose},
    show::Show,
};
use crate::Failure;

/// Measure what encryption costs: bare quinn with the cipher that nodes prefer, beside others.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: quorate bench crypto --sizes 65536

Built with `--features ring`, it measures that library too.")]
pub(super) struct Crypto {
    #[command(flatten)]
    bare: Bare,
}

/// Measure what each setting of QUIC gives: bare quinn as links are set, beside the same but for one thing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench quic --sizes 65536")]
pub(super) struct Quic {
    #[command(flatten)]
    bare: Bare,
}

#[derive(Debug, clap::Args)]
struct Bare {
    /// Bytes of the messages whose throughput is measured [default: 1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

impl Bare {
    /// What was given, over what a benchmark does by itself.
    fn choose(&self, schedule: &mut Schedule, sizes: &mut Vec<usize>) {
        *schedule = self.common.schedule(*schedule);
        choose(sizes, &self.sizes);
    }
}

impl Crypto {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = CryptoArgs::default();
        self.bare.choose(&mut wanted.schedule, &mut wanted.sizes);
        show.measure(|observer| quorate_bench::crypto(&wanted, observer))
    }
}

impl Quic {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = QuicArgs::default();
        self.bare.choose(&mut wanted.schedule, &mut wanted.sizes);
        show.measure(|observer| quorate_bench::quic(&wanted, observer))
    }
}
