//! Starts the programs of this workspace for their own tests, natively or under the emulator that cargo was given.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take; an emulator on a busy machine is slow.
const START: Duration = Duration::from_secs(30);

/// What the names of all variables begin with that the programs read.
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

/// The path of a binary of the package whose tests these are. Cargo tells it when it compiles, but from 1.96 on for another
/// target only when it runs.
#[macro_export]
macro_rules! program {
    ($name:literal) => {
        option_env!(concat!("CARGO_BIN_EXE_", $name))
            .map(str::to_owned)
            .or_else(|| std::env::var(concat!("CARGO_BIN_EXE_", $name)).ok())
            .expect("cargo names the binary")
    };
}

/// The command that starts `program`, the path of a binary: with `CARGO_TARGET_<TRIPLE>_RUNNER` where cargo uses one, as
/// the kernel cannot start a foreign binary without help. Settings of this machine do not reach it.
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

/// Sends SIGTERM to a child that has not been waited for.
///
/// # Panics
/// When it cannot be sent.
pub fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).expect("a child of ours");
}

/// A running service. Killed when it is dropped.
pub struct Service {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Service {
    /// Starts `program` and waits until its log says where it listens.
    ///
    /// # Panics
    /// With its log, when it ends instead or says nothing in time.
    pub fn start(program: &str, args: &[&str]) -> Self {
        Self::wait(command(program), args)
    }

    /// As [`Self::start`], but for a program of this machine that starts one of ours, such as a shell.
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
            let said = log.lock().expect("no panic there").clone();
            if let Some(address) = listening(&said) {
                return Self { child, address, log };
            }
            let ended = child.try_wait().expect("a child of ours");
            assert!(ended.is_none() && since.elapsed() < START, "{program}: {ended:?}\n{said}");
            sleep(Duration::from_millis(5));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic there").clone()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("a child of ours");
    }

    /// SIGTERM; the exit status and the time until it came.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let since = Instant::now();
        terminate(&self.child);
        let status = self.child.wait().expect("a child of ours");
        (status, since.elapsed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("listening address="))?;
    line.rsplit_once("address=").and_then(|(_, address)| address.trim().parse().ok())
}
