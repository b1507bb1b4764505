//! From the command line to the exit code: 0 after a signal to stop, 1 for a failure, 2 for wrong settings.

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

/// How long a service may take to stop; container engines kill after 10 s, the documented limit is 5 s.
const GRACE: Duration = Duration::from_secs(4);

/// A program of the broker that this module runs.
pub trait Service: Parser {
    /// Its name in the logs.
    const NAME: &'static str;

    fn common(&self) -> &Common;

    /// The target of `--health`.
    fn health(&self) -> Target;

    /// Serves until `stop`, and returns after all answers are written.
    fn serve(self, stop: CancellationToken) -> impl Future<Output = Result<()>>;
}

/// Runs the service that the command line describes. Returns its exit code.
pub fn run<S: Service>() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let settings: S = match settings::read(&words) {
        Ok(settings) => settings,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            error.exit()
        }
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
    // A thread that still waits for a disk does not delay the exit.
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
        outcome = stop_signal() => {
            stop.cancel();
            match outcome {
                Ok(()) => tokio::time::timeout(GRACE, served).await.unwrap_or_else(|_| {
                    warn!("stopped with unfinished work after {GRACE:?}");
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

/// Returns at the first SIGTERM or SIGINT. Later signals are ignored: the stop has its own time limit.
///
/// # Errors
/// If the handlers cannot be installed.
pub async fn stop_signal() -> Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let name = tokio::select! { _ = term.recv() => "SIGTERM", _ = int.recv() => "SIGINT" };
    info!(signal = name, "stopping");
    Ok(())
}
