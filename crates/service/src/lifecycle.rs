//! From the command line to the exit code: 0 when the service was told to stop, 1 when it failed, 2 for wrong settings.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use clap::error::ErrorKind;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::health::Target;
use crate::settings::{self, Common};
use crate::{TARGET, VERSION, log};

/// How long a service may take to stop; container engines kill after 10 s, the broker's users are told 5.
const GRACE: Duration = Duration::from_secs(4);

/// A program of the broker, as this module runs it.
pub trait Service: Parser {
    /// Its name, as in its logs.
    const NAME: &'static str;

    fn common(&self) -> &Common;

    /// Where `--health` asks.
    fn health(&self) -> Target;

    /// Serves until `stop`, and returns after the last word is written.
    fn serve(self, stop: CancellationToken) -> impl Future<Output = Result<()>>;
}

/// Runs the service that the command line asks for; its exit code comes back.
pub fn run<S: Service>() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let settings: S = match settings::read(&words) {
        Ok(settings) => settings,
        Err(told) if matches!(told.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => told.exit(),
        Err(wrong) => return refuse(S::NAME, &settings::first_line(&wrong)),
    };
    if let Some(Err(message)) = arch::Path::forced() {
        return refuse(S::NAME, &message);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{}: cannot start: {error}", S::NAME);
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        if settings.common().health { check::<S>(&settings.health()).await } else { serve(settings).await }
    });
    // A thread that still waits for a disk does not hold the exit up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

fn refuse(name: &str, message: &str) -> ExitCode {
    eprintln!("{name}: {message}");
    ExitCode::from(2)
}

async fn check<S: Service>(target: &Target) -> ExitCode {
    match target.check(Duration::from_secs(3)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", S::NAME);
            ExitCode::FAILURE
        }
    }
}

async fn serve<S: Service>(settings: S) -> ExitCode {
    let common = settings.common();
    log::init(common.log_format, common.log_level.clone());
    let report = arch::Report::new();
    let features = report.features.join(" ");
    info!(service = S::NAME, version = VERSION, triple = TARGET, arch = report.name, path = %report.path, features, "starting");
    let stop = CancellationToken::new();
    let served = settings.serve(stop.clone());
    tokio::pin!(served);
    let outcome = tokio::select! {
        outcome = &mut served => outcome,
        outcome = told_to_stop() => {
            stop.cancel();
            match outcome {
                Ok(()) => tokio::time::timeout(GRACE, served).await.unwrap_or_else(|_| {
                    warn!("stopped with work left after {GRACE:?}");
                    Ok(())
                }),
                failed => failed,
            }
        }
    };
    match outcome {
        Ok(()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns at the first SIGTERM or SIGINT. Later ones change nothing: the stop has its own limit.
///
/// # Errors
/// When the handlers cannot be installed.
pub async fn told_to_stop() -> Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let name = tokio::select! { _ = term.recv() => "SIGTERM", _ = int.recv() => "SIGINT" };
    info!(signal = name, "stopping");
    Ok(())
}
