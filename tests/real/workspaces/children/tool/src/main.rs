//! Prints facts about its own start, which tests compare.

use std::io::{Read, Write};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("name") => println!("{}", std::env::args().next().unwrap()),
        Some("words") => println!("{words:?}"),
        Some("variable") => println!("{:?}", std::env::var_os(&words[1])),
        Some("fail") => return ExitCode::from(3),
        Some("abort") => std::process::abort(),
        Some("echo") => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).unwrap();
            std::io::stdout().write_all(&text).unwrap();
        }
        Some("again") => {
            let own = std::env::current_exe().unwrap();
            let status = Command::new(own).arg("arch").status().unwrap();
            return ExitCode::from(status.code().unwrap() as u8);
        }
        _ => println!("{}", std::env::consts::ARCH),
    }
    ExitCode::SUCCESS
}
