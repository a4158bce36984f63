//! `mcp-bearer key` generates keys that a server accepts, and checks files of keys.

use mcp_bearer::api_key::{ApiKey, ApiKeys};

use crate::program::{Run, run};

/// The key on stderr.
fn key_in(run: &Run) -> ApiKey {
    let keys: Vec<_> = run.stderr.lines().filter_map(|line| ApiKey::parse(line.trim()).ok()).collect();
    let [key] = &keys[..] else { panic!("{}", run.stderr) };
    key.clone()
}

#[tokio::test]
async fn a_new_key_is_printed_once_and_its_line_is_valid() {
    let run = run(&[
        "key",
        "new",
        "--name",
        "ci-2027",
        "--identity",
        "ci",
        "--scope",
        "notes:read",
        "--scope",
        "notes:write",
        "--expires",
        "2027-01-31",
        "--prefix",
        "acme",
    ])
    .await;
    assert_eq!(run.exit_status, 0, "{}", run.stderr);
    let key = key_in(&run);
    let line = run.stdout.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n') && !line.contains(key.expose()) && key.id().starts_with("acme_"), "{line}");
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&json["name"], &json["identity"]), (&"ci-2027".into(), &"ci".into()));
    assert_eq!(json["scopes"], serde_json::json!(["notes:read", "notes:write"]));
    assert_eq!(json["expires"], "2027-01-31");
    // The line is that of the key.
    let stored = key.stored_as("ci-2027").to_line();
    let digest = serde_json::from_str::<serde_json::Value>(&stored).unwrap()["sha256"].clone();
    assert_eq!((&json["sha256"], &json["id"]), (&digest, &key.id().into()));
    assert_eq!(ApiKeys::new().prefix("acme").key(line.parse().unwrap()).check().unwrap(), 1);
}

#[tokio::test]
async fn a_mistake_in_the_arguments_prints_no_key() {
    for (arguments, expected) in [
        (&["--name", "ci", "--scope", "two words"][..], "\"two words\" is not a scope"),
        (&["--name", ""], "must have 1 to 64 characters"),
        (&["--name", "ci", "--expires", "31.01.2027"], "is not a date; write it as \"2027-01-31\""),
        (&["--name", "ci", "--prefix", "Acme"], "the prefix \"Acme\" of API keys cannot be used"),
        (&["--scope", "notes:read"], "--name"),
    ] {
        let run = run(&[&["key", "new"], arguments].concat()).await;
        assert_eq!((run.exit_status, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        assert!(run.stderr.contains(expected) && !run.stderr.contains("mcpk_"), "{}", run.stderr);
    }
}

#[tokio::test]
async fn a_file_is_checked_with_all_mistakes() {
    let path = std::env::temp_dir().join(format!("mcp-bearer-doctor-keys-{}.jsonl", std::process::id()));
    let name = path.to_str().unwrap();
    let key = run(&["key", "new", "--name", "ci"]).await;
    std::fs::write(&path, format!("# of CI\n{}", key.stdout)).unwrap();
    let valid = run(&["key", "check", name]).await;
    assert_eq!((valid.exit_status, valid.stdout.as_str()), (0, "1 key, no mistake\n"), "{}", valid.stderr);
    std::fs::write(&path, format!("{}{}{}\n", key.stdout, key.stdout, key_in(&key).expose())).unwrap();
    let wrong = run(&["key", "check", name]).await;
    std::fs::remove_file(&path).unwrap();
    assert_eq!((wrong.exit_status, wrong.stdout.as_str()), (2, ""));
    for part in ["line 2: the name \"ci\" is used twice", "line 3: an API key is written here in plain text"] {
        assert!(wrong.stderr.contains(part), "{}", wrong.stderr);
    }
    assert!(!wrong.stderr.contains(key_in(&key).expose()));
    let missing = run(&["key", "check", "/does/not/exist"]).await;
    assert!(missing.exit_status == 2 && missing.stderr.contains("cannot be read"), "{}", missing.stderr);
}
