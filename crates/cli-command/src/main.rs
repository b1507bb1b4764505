//! The command line of the broker. Exit codes: 0 for success, 1 for a failure, 2 for a wrong command line or setting.

mod journal;
mod mqtt;
mod node;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use service::health::Target;
use service::{lifecycle, log, settings};
use tonic::transport::Endpoint;
use tracing_subscriber::filter::Targets;

const NAME: &str = "cli-command";

/// The command line of the broker
#[derive(Parser)]
#[command(name = NAME)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
#[command(next_help_heading = "Settings")]
struct Settings {
    /// Settings as TOML, one key per long option: `broker = "127.0.0.1:1883"`
    #[arg(long, value_name = "FILE", env = "CONFIG_FILE", global = true)]
    config: Option<PathBuf>,
    /// The placement center
    #[arg(long, value_name = "URL", env = "PLACEMENT_CENTER", default_value = "http://127.0.0.1:1228", value_parser = settings::endpoint, global = true)]
    placement_center: Endpoint,
    /// The journal server
    #[arg(long, value_name = "URL", env = "JOURNAL_SERVER", default_value = "http://127.0.0.1:1229", value_parser = settings::endpoint, global = true)]
    journal: Endpoint,
    /// The MQTT broker, as HOST:PORT
    #[arg(long, value_name = "ADDRESS", env = "MQTT_SERVER", default_value = "127.0.0.1:1883", value_parser = mqtt::address, global = true)]
    broker: mqtt::Address,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", env = "CLI_COMMAND_TIMEOUT", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600), global = true)]
    timeout: u64,
    /// The format of the log on standard error
    #[arg(long, value_name = "FORMAT", env = "LOG_FORMAT", default_value = "text", global = true)]
    log_format: log::Format,
    /// The log filter
    #[arg(long, value_name = "FILTER", env = "LOG_LEVEL", default_value = "warn", global = true)]
    log_level: Targets,
}

#[derive(Subcommand)]
enum Command {
    /// Print the architecture, the CPU features and the path of the kernels that this program runs on
    Arch,
    /// The nodes of the broker
    #[command(subcommand)]
    Node(node::Command),
    /// The journal
    #[command(subcommand)]
    Journal(journal::Command),
    /// Publish and subscribe, as an MQTT 5 client
    #[command(subcommand)]
    Mqtt(mqtt::Command),
    /// Check whether services are healthy; without arguments all three
    Health {
        /// http://HOST:PORT for gRPC, mqtt://HOST:PORT for the broker
        #[arg(value_name = "URL")]
        targets: Vec<Target>,
    },
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli: Cli = match settings::read(&words) {
        Ok(cli) => cli,
        // An error without a source comes from a settings file; its first line is complete.
        Err(wrong) if wrong.kind() == ErrorKind::ValueValidation && wrong.context().next().is_none() => {
            return refuse(&settings::first_line(&wrong));
        }
        Err(error) => error.exit(),
    };
    if let Some(Err(message)) = arch::Path::forced() {
        return refuse(&message);
    }
    log::init(cli.settings.log_format, cli.settings.log_level.clone());
    let outcome = run(cli);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{NAME}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(message: &str) -> ExitCode {
    eprintln!("{NAME}: {message}");
    ExitCode::from(2)
}

/// The reader of the output may close it early (`| head -1`); this is not a failure.
fn is_closed(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(cli: Cli) -> Result<()> {
    if matches!(cli.command, Command::Arch) {
        return Ok(writeln!(io::stdout(), "{}", arch::Report::new())?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            biased; // The handlers are installed before anything is sent.
            stopped = lifecycle::stop_signal() => stopped,
            outcome = talk(cli) => outcome,
        }
    })
}

async fn talk(cli: Cli) -> Result<()> {
    let settings = cli.settings;
    let limit = Duration::from_secs(settings.timeout);
    match cli.command {
        Command::Arch => Ok(()),
        Command::Node(command) => node::run(command, settings.placement_center, limit).await,
        Command::Journal(command) => journal::run(command, settings.journal, limit).await,
        Command::Mqtt(command) => mqtt::run(command, &settings.broker, limit).await,
        Command::Health { targets } if targets.is_empty() => {
            let grpc = |endpoint: &Endpoint| Target::Grpc(url(endpoint));
            let broker = Target::Mqtt(settings.broker.to_string());
            health(&[grpc(&settings.placement_center), grpc(&settings.journal), broker], limit).await
        }
        Command::Health { targets } => health(&targets, limit).await,
    }
}

/// Checks all targets, prints each result, and fails if one fails.
async fn health(targets: &[Target], limit: Duration) -> Result<()> {
    let mut sick = 0;
    for target in targets {
        match target.check(limit).await {
            Ok(()) => writeln!(io::stdout(), "{target}: healthy")?,
            Err(error) => {
                sick += 1;
                writeln!(io::stdout(), "{error:#}")?;
            }
        }
    }
    if sick > 0 {
        bail!("{sick} of {} not healthy", targets.len());
    }
    Ok(())
}

/// The address of a server, as in the command line.
fn url(endpoint: &Endpoint) -> String {
    endpoint.uri().to_string().trim_end_matches('/').to_owned()
}

/// The text for a terminal: control characters are escaped, because they would change its state.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|char| if char.is_control() { char.escape_default().collect() } else { vec![char] })
        .collect()
}

/// Writes a line: unchanged to a program, without control characters to a terminal.
fn write_line(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        out.write_all(printable(&String::from_utf8_lossy(bytes)).as_bytes())?;
    } else {
        out.write_all(bytes)?;
    }
    out.write_all(b"\n")?;
    out.flush()
}
