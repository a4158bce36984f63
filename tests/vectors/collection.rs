//! The test vectors, which are kept in a folder next to the repository.

use std::fs;

use serde_json::Value;

use crate::support;

/// Reads a file of the vectors as JSON.
pub fn json(file: &str) -> Option<Value> {
    support::collection(VARIABLE, FOLDER, file)
}

/// Reads the `.json` files of a folder, sorted by name. The names are returned without the extension.
pub fn files(folder: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let folder = support::located(VARIABLE, FOLDER, folder)?;
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".json")?.to_owned();
            Some((name, fs::read(&path).unwrap()))
        })
        .collect();
    files.sort();
    Some(files)
}

const VARIABLE: &str = "MCP_BEARER_VECTORS";
const FOLDER: &str = "vectors";
