//! No two files import each other, neither directly nor through other files. The imports are read from `use` declarations
//! and paths.

use std::collections::{BTreeMap, BTreeSet};

use crate::Source;

/// A file's module path: `["keys", "remote"]`.
type Module = Vec<String>;

#[test]
fn there_are_no_import_circles_between_files() {
    let sources = crate::sources();
    let files = sources.iter().filter(|source| source.name != "lib.rs" && !source.is_test());
    let imports = Imports::read(files);
    let used: BTreeMap<_, _> = imports.files.keys().map(|file| (file, imports.used_by(file))).collect();
    let reaches = |from: &Module, to: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(used[file].iter().filter(|used| seen.insert(*used)));
        }
        seen.contains(to)
    };
    let in_circles = used.iter().flat_map(|(file, used)| used.iter().map(move |used| (*file, used)));
    let in_circles = in_circles.filter(|(file, used)| reaches(used, file));
    let in_circles: Vec<_> =
        in_circles.map(|(file, used)| format!("{} uses {}", file.join("::"), used.join("::"))).collect();
    assert!(in_circles.is_empty(), "these files use each other in circles:\n{}", in_circles.join("\n"));
}

/// The paths in each file, and the re-exports of each `mod.rs`.
struct Imports {
    files: BTreeMap<Module, Vec<Module>>,
    exports: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Imports {
    fn read<'s>(sources: impl Iterator<Item = &'s Source>) -> Self {
        let mut imports = Self { files: BTreeMap::new(), exports: BTreeMap::new() };
        for source in sources {
            let module = module(&source.name);
            let code: Vec<_> = source.code().collect();
            let code = code.join("\n");
            let mut named = Vec::new();
            for statement in code.split(';') {
                let (public, tree) = match statement.trim_start().rsplit_once("use ") {
                    Some((before, tree)) if is_visibility(before) => (before.contains("pub"), tree),
                    _ => continue,
                };
                for path in paths(tree) {
                    let path = absolute(&path, &module);
                    if public {
                        let name = path.last().unwrap().clone();
                        imports.exports.entry(module.clone()).or_default().insert(name, path.clone());
                    } else {
                        named.push(path);
                    }
                }
            }
            for start in ["crate::", "super::"] {
                for (at, _) in code.match_indices(start) {
                    let path: String =
                        code[at..].chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
                    named.push(absolute(path.trim_end_matches(':'), &module));
                }
            }
            imports.files.insert(module, named);
        }
        imports
    }

    /// The files that `file` uses. The file itself and the files of its submodules are left out.
    fn used_by(&self, file: &Module) -> BTreeSet<Module> {
        let used = self.files[file].iter().filter_map(|path| self.file_of(path.clone()));
        used.filter(|used| !used.starts_with(file)).collect()
    }

    /// The file that defines the item at `path`.
    fn file_of(&self, mut path: Module) -> Option<Module> {
        for length in (1..=path.len()).rev() {
            let (module, rest) = path.split_at(length);
            if !self.files.contains_key(module) {
                continue;
            }
            let exported = rest.first().and_then(|name| self.exports.get(module)?.get(name));
            return match exported {
                Some(exported) if *exported != path => {
                    let rest = rest[1..].to_vec();
                    path = [exported.clone(), rest].concat();
                    self.file_of(path)
                }
                _ => Some(module.to_vec()),
            };
        }
        None
    }
}

/// The folder whose files are not a part of the library: in them, `crate` is the program.
const PROGRAM: [&str; 2] = ["bin", "mcp-bearer"];

fn module(name: &str) -> Module {
    let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

fn is_visibility(text: &str) -> bool {
    // Before the last `use` of a statement there may be attributes, items without a semicolon, and a visibility.
    let last = text.lines().last().unwrap_or_default().trim();
    last.is_empty() || last == "pub" || last.starts_with("pub(") && last.ends_with(')')
}

/// The paths of a use tree: `a::{b, c::d}` has `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((start, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().replace(char::is_whitespace, "")];
    };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut branches, mut branch) = (0, Vec::new(), String::new());
    for character in inside.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(std::mem::take(&mut branch));
                continue;
            }
            _ => {}
        }
        branch.push(character);
    }
    branches.push(branch);
    let branches = branches.iter().filter(|branch| !branch.trim().is_empty());
    branches.flat_map(|branch| paths(branch)).map(|path| format!("{}{path}", start.trim())).collect()
}

/// A path from the root of the crate.
fn absolute(path: &str, module: &Module) -> Module {
    let mut segments: Vec<_> = path.split("::").collect();
    let mut start: Vec<_> = match segments[0] {
        "crate" if module.starts_with(&PROGRAM.map(str::to_owned)) => PROGRAM.map(str::to_owned).to_vec(),
        "crate" => Vec::new(),
        _ => module.clone(),
    };
    while let Some(&first @ ("crate" | "self" | "super")) = segments.first() {
        if first == "super" {
            start.pop();
        }
        segments.remove(0);
    }
    start.extend(segments.into_iter().map(str::to_owned));
    start
}
