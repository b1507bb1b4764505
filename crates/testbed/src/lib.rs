//! Starts the programs of this workspace for their own tests, natively or under the emulator that cargo is configured with.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The time limit of a start; an emulator on a busy machine is slow.
const START: Duration = Duration::from_secs(30);
/// The time limit for a stop after a signal, also on a busy machine.
pub const STOP: Duration = Duration::from_secs(20);

/// The prefixes of all environment variables that the programs read.
const SETTINGS: [&str; 8] = [
    "ARCH_PATH",
    "CLI_COMMAND",
    "CONFIG_FILE",
    "JOURNAL_SERVER",
    "LOG_",
    "MQTT_SERVER",
    "NODE_",
    "PLACEMENT_CENTER",
];

/// The path of a binary of the tested package. Cargo sets it at compile time, but since 1.96 only at run time if the tests
/// are for another target.
#[macro_export]
macro_rules! program {
    ($name:literal) => {
        option_env!(concat!("CARGO_BIN_EXE_", $name))
            .map(str::to_owned)
            .or_else(|| std::env::var(concat!("CARGO_BIN_EXE_", $name)).ok())
            .expect("cargo names the binary")
    };
}

/// The command that starts `program`, the path of a binary: with `CARGO_TARGET_<TRIPLE>_RUNNER` if cargo uses one, because
/// the kernel alone cannot start a binary of another architecture. Settings of this machine are removed.
pub fn command(program: &str) -> Command {
    let runner = env::vars().find(|(name, _)| name.starts_with("CARGO_TARGET_") && name.ends_with("_RUNNER"));
    let words = runner.map(|(_, words)| words).unwrap_or_default();
    let mut line = words.split_whitespace().chain([program]);
    let mut command = Command::new(line.next().unwrap_or(program));
    command.args(line);
    for (name, _) in env::vars().filter(|(name, _)| SETTINGS.iter().any(|start| name.starts_with(start))) {
        command.env_remove(name);
    }
    command
}

/// Sends SIGTERM to a running child process.
///
/// # Panics
/// If it cannot be sent.
pub fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).expect("a child process");
}

/// A running service, killed when it is dropped.
pub struct Service {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Service {
    /// Starts `program` and waits until its log contains the address on which it listens.
    ///
    /// # Panics
    /// With its log, if it exits instead or logs no address in time.
    pub fn start(program: &str, args: &[&str]) -> Self {
        Self::wait(command(program), args)
    }

    /// As [`Self::start`], but for a program of this machine that starts a service, such as a shell.
    pub fn start_as_is(program: &str, args: &[&str]) -> Self {
        Self::wait(Command::new(program), args)
    }

    fn wait(mut command: Command, args: &[&str]) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .args(args)
            .args(["--log-format", "text"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let written = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = written.lock().expect("no panic here");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let since = Instant::now();
        loop {
            let text = log.lock().expect("no panic there").clone();
            if let Some(address) = listening(&text) {
                return Self { child, address, log };
            }
            let ended = child.try_wait().expect("a child process");
            assert!(ended.is_none() && since.elapsed() < START, "{program}: {ended:?}\n{text}");
            sleep(Duration::from_millis(5));
        }
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic there").clone()
    }

    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("a child process");
    }

    /// Sends SIGTERM. Returns the exit status and the time until the exit.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let since = Instant::now();
        terminate(&self.child);
        let status = self.child.wait().expect("a child process");
        (status, since.elapsed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("listening address="))?;
    line.rsplit_once("address=").and_then(|(_, address)| address.trim().parse().ok())
}
