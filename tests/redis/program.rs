//! The program `redis-server`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use redis::{Client, Connection, FromRedisValue};

/// A server on a free port, without persistence. It is killed when it is dropped.
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

/// Whether the program is installed, after an attempt to install it.
static IS_INSTALLED: LazyLock<bool> = LazyLock::new(|| {
    let runs = || Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    if runs() {
        return true;
    }
    let apt = |arguments: &[&str]| Command::new("apt-get").args(arguments).stdout(Stdio::null()).status();
    let installed = apt(&["update", "--quiet"]).and_then(|_| apt(&["install", "--yes", "--quiet", "redis-server"]));
    installed.is_ok_and(|status| status.success()) && runs()
});

impl RedisServer {
    /// `None` if the test is skipped.
    pub fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// A server with these arguments. `PORT` is replaced by its port.
    pub fn with(arguments: &[&str]) -> Option<Self> {
        if !*IS_INSTALLED {
            assert!(env::var_os("CI").is_none(), "redis-server is missing, and could not be installed");
            eprintln!("SKIPPED: redis-server is missing; install it to run this test");
            return None;
        }
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("mcp-bearer-redis-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        let arguments = arguments.iter().map(|argument| argument.replace("PORT", &port.to_string()));
        let arguments: Vec<_> = arguments.collect();
        let child = spawn(port, &folder, &arguments);
        let mut server = Self { child, port, folder, arguments };
        server.wait();
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends the process without notice, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts a new process on the same port. It is empty.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder, &self.arguments);
        self.wait();
    }

    /// The reply to a command.
    pub fn call<T: FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut call = redis::cmd(words.next().unwrap());
        words.for_each(|word| _ = call.arg(word));
        call.query(&mut self.connection().unwrap()).unwrap()
    }

    /// How often a command was executed.
    pub fn count(&self, command: &str) -> u64 {
        let statistics: String = self.call("INFO commandstats");
        let start = format!("cmdstat_{command}:calls=");
        let count = statistics.lines().find_map(|line| line.strip_prefix(&start)?.split(',').next());
        count.map_or(0, |count| count.parse().unwrap())
    }

    fn connection(&self) -> redis::RedisResult<Connection> {
        let password = self.arguments.iter().skip_while(|argument| *argument != "--requirepass").nth(1);
        let password = password.map(|password| format!(":{password}@")).unwrap_or_default();
        Client::open(format!("redis://{password}127.0.0.1:{}", self.port))?.get_connection()
    }

    fn wait(&mut self) {
        let is_tls_only = self.arguments.iter().any(|argument| argument == "--tls-port");
        let started_at = Instant::now();
        let is_ready = || {
            if is_tls_only {
                return std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            }
            self.connection().is_ok()
        };
        while !is_ready() {
            assert!(started_at.elapsed() < Duration::from_secs(20), "redis-server does not start");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(port: u16, folder: &std::path::Path, arguments: &[String]) -> Child {
    let port = port.to_string();
    let port = if arguments.iter().any(|argument| argument == "--tls-port") { "0" } else { &port };
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", port, "--dir"]).arg(folder);
    command.args(arguments).stdout(Stdio::null()).spawn().unwrap()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
