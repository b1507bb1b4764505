//! The command line of the broker; for now it tells of the machine it runs on.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cli-command", version, about = "The command line of the broker")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the architecture, the CPU features and the path of the kernels that this program runs on
    Arch,
}

fn main() -> ExitCode {
    let Cli { command: Command::Arch } = Cli::parse();
    if let Some(Err(message)) = arch::Path::forced() {
        eprintln!("cli-command: {message}");
        return ExitCode::from(2);
    }
    match writeln!(io::stdout(), "{}", arch::Report::new()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads us may stop early (`| head -1`); that is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cli-command: cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}
