use std::process::{Command, Stdio};

/// Opens a page in the user's browser, or prints that the user must open it.
pub(crate) fn open(url: &str) {
    let (program, arguments): (&str, &[&str]) = match std::env::consts::OS {
        "macos" => ("open", &[]),
        // `start` would read the `&` of a query as the end of the command.
        "windows" => ("rundll32", &["url.dll,FileProtocolHandler"]),
        _ => ("xdg-open", &[]),
    };
    let started = Command::new(program).args(arguments).arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if started.is_err() {
        println!("the browser did not start: open the URL above yourself");
    }
}
