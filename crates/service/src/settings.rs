//! Settings, in order of precedence: flags, environment, the file of `--config`, defaults.
//!
//! The flags are the definition. A value of the file becomes the default of the flag with the same name, so each value is
//! parsed by one parser and each setting is declared once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, Command, Parser};
use tonic::transport::Endpoint;
use tracing_subscriber::filter::Targets;

use crate::log;

/// The settings that every service has.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Settings as TOML, one key per long option: `listen = "0.0.0.0:1883"`
    #[arg(long, value_name = "FILE", env = "CONFIG_FILE")]
    pub config: Option<PathBuf>,
    /// The format of the log
    #[arg(long, value_name = "FORMAT", env = "LOG_FORMAT", default_value = "text")]
    pub log_format: log::Format,
    /// The log filter: a level, or levels per module as in `info,h2=warn`
    #[arg(long, value_name = "FILTER", env = "LOG_LEVEL", default_value = "info")]
    pub log_level: Targets,
    /// Check whether the service that runs with these settings is healthy, and exit with 0 or 1
    #[arg(long)]
    pub health: bool,
}

/// Parses the URL of a gRPC server, for clap.
///
/// # Errors
/// If it is not `http://HOST:PORT`.
pub fn endpoint(url: &str) -> Result<Endpoint, String> {
    let port = url.strip_prefix("http://").and_then(|rest| rest.trim_end_matches('/').rsplit_once(':'));
    let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
    let read = port.and_then(|_| Endpoint::from_shared(url.to_owned()).ok());
    read.ok_or_else(|| "expected http://HOST:PORT".to_owned())
}

/// Flags that are not settings.
const NOT_IN_FILE: [&str; 4] = ["config", "health", "help", "version"];

/// Reads the settings from `words` (a command line with its program), the environment and the file that they name.
///
/// # Errors
/// clap's error for the words, and [`ErrorKind::ValueValidation`] for a file that cannot be read, or has an unknown key or a
/// wrong value. `--help` and `--version` are errors as well, as in clap.
pub fn read<S: Parser>(words: &[OsString]) -> Result<S, clap::Error> {
    let command = S::command().version(crate::VERSION);
    let matches = command.clone().try_get_matches_from(words)?;
    let Some(file) = matches.get_one::<PathBuf>("config") else {
        return S::from_arg_matches(&matches);
    };
    let settings_error = |message| clap::Error::raw(ErrorKind::ValueValidation, message);
    let command = with_defaults(command, file)
        .map_err(|reason| settings_error(format!("{}: {reason}", file.display())))?;
    // The same words were valid before, so the error is in the file.
    let matches = command
        .try_get_matches_from(words)
        .map_err(|error| settings_error(format!("{}: {}", file.display(), first_line(&error))))?;
    S::from_arg_matches(&matches)
}

/// The first line of clap's error, without `error: `.
pub fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn with_defaults(mut command: Command, file: &Path) -> Result<Command, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        format!("line {line}: {}", error.message())
    })?;
    for (key, value) in table {
        let known =
            |arg: &&clap::Arg| arg.get_long() == Some(key.as_str()) && !NOT_IN_FILE.contains(&key.as_str());
        let Some(id) = command.get_arguments().find(known).map(|arg| arg.get_id().clone()) else {
            return Err(format!("unknown key `{key}` (expected one of {})", keys(&command)));
        };
        let word = match value {
            toml::Value::String(word) => word,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            _ => return Err(format!("`{key}` takes one value")),
        };
        command = command.mut_arg(id, |arg| arg.default_value(word));
    }
    Ok(command)
}

fn keys(command: &Command) -> String {
    let known = command.get_arguments().filter_map(clap::Arg::get_long);
    known.filter(|key| !NOT_IN_FILE.contains(key)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::SocketAddr;

    use super::*;

    #[derive(Parser, Debug)]
    #[command(name = "trial")]
    struct Trial {
        #[command(flatten)]
        common: Common,
        #[arg(long, default_value = "127.0.0.1:1")]
        listen: SocketAddr,
        #[arg(long, default_value_t = 3)]
        lease: u32,
    }

    /// Reads `words` with a file of this text. An error is its first line, with FILE in place of the file's name.
    fn read_with(text: &str, words: &[&str]) -> Result<Trial, String> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        let name = file.path().to_str().expect("UTF-8");
        let words: Vec<OsString> =
            ["trial", "--config", name].iter().chain(words).map(|word| (*word).into()).collect();
        read(&words).map_err(|error| first_line(&error).replace(name, "FILE"))
    }

    #[test]
    fn flags_precede_the_file_and_the_file_precedes_defaults() {
        let text = "listen = \"[::1]:7\"\nlease = 9\nlog-format = \"json\"\n";
        let read = read_with(text, &["--lease", "5"]).expect("right");
        assert_eq!((read.listen.to_string().as_str(), read.lease), ("[::1]:7", 5));
        assert_eq!(
            (read.common.log_format, read.common.log_level.to_string()),
            (log::Format::Json, "info".to_owned())
        );
    }

    #[test]
    fn each_invalid_file_gives_one_line() {
        for (text, line) in [
            ("lisen = 1", "FILE: unknown key `lisen` (expected one of log-format log-level listen lease)"),
            (
                "health = true",
                "FILE: unknown key `health` (expected one of log-format log-level listen lease)",
            ),
            ("lease = -1", "FILE: invalid value '-1' for '--lease <LEASE>': -1 is not in 0..=4294967295"),
            ("lease = [1]", "FILE: `lease` takes one value"),
            ("\nlease =\n", "FILE: line 2: string values must be quoted, expected literal string"),
            (
                "log-level = \"a=b=c\"",
                "FILE: invalid value 'a=b=c' for '--log-level <FILTER>': invalid filter directive: too many '=' in filter directive, expected 0 or 1",
            ),
        ] {
            assert_eq!(read_with(text, &[]).expect_err(text), line);
        }
        let missing = ["trial", "--config", "/nonexistent/x.toml"].map(OsString::from);
        let error = read::<Trial>(&missing).expect_err("no such file");
        assert_eq!(first_line(&error), "/nonexistent/x.toml: No such file or directory (os error 2)");
    }
}
