//! The rooms of `src/` import each other in one direction: no room reaches itself by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a room imports, and where.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Lines without comments, and without what only tests are built from.
fn product(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let (mut only_tests, mut inside) = (false, false);
    for line in text.lines() {
        if inside {
            inside = line != "}";
        } else if only_tests && line.contains("mod ") && line.ends_with('{') {
            inside = true;
        } else if !line.trim_start().starts_with("//") {
            lines.push(line);
        }
        only_tests = line.trim() == "#[cfg(test)]";
    }
    lines
}

/// Modules of files that only tests are built from.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = path.with_extension("");
    let pairs = text.lines().zip(text.lines().skip(1));
    let declared = pairs.filter(|(line, _)| line.trim() == "#[cfg(test)]").filter_map(|(_, next)| {
        let name = next.strip_suffix(';')?.rsplit_once("mod ")?.1;
        Some(folder.join(name))
    });
    declared.collect()
}

fn imports() -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    let texts: Vec<_> =
        paths.into_iter().map(|path| (std::fs::read_to_string(&path).unwrap(), path)).collect();
    let tests: Vec<_> = texts.iter().flat_map(|(text, path)| test_modules(path, text)).collect();
    let room = |path: &Path| {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_string()
    };
    let rooms: BTreeSet<_> =
        texts.iter().map(|(_, path)| room(path)).filter(|name| name != "lib" && name != "main").collect();
    assert!(rooms.len() > 20, "{rooms:?}");
    let mut imports = Imports::new();
    for (text, path) in &texts {
        let own = room(path);
        let module = path.with_extension("");
        let is_test =
            module.to_string_lossy().ends_with("_tests") || tests.iter().any(|t| module.starts_with(t));
        if is_test || !rooms.contains(&own) {
            continue;
        }
        for line in product(text) {
            for rest in line.split("crate::").skip(1) {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let other = &rest[..end];
                if other != own && rooms.contains(other) {
                    let place = format!("{}: {}", path.display(), line.trim());
                    imports.entry(own.clone()).or_default().entry(other.to_string()).or_insert(place);
                }
            }
        }
    }
    imports
}

/// The way from a room back to itself, if there is one.
fn circle(imports: &Imports, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
    let room = way.last()?.clone();
    for other in imports.get(&room).into_iter().flat_map(BTreeMap::keys) {
        if let Some(start) = way.iter().position(|before| before == other) {
            let mut found = way[start..].to_vec();
            found.push(other.clone());
            return Some(found);
        }
        if !done.contains(other) {
            way.push(other.clone());
            if let Some(found) = circle(imports, way, done) {
                return Some(found);
            }
            way.pop();
        }
    }
    done.insert(room);
    None
}

#[test]
fn rooms_import_each_other_in_one_direction() {
    let imports = imports();
    let mut done = BTreeSet::new();
    for room in imports.keys() {
        if let Some(found) = circle(&imports, &mut vec![room.clone()], &mut done) {
            let places: Vec<_> = found.windows(2).map(|two| imports[&two[0]][&two[1]].as_str()).collect();
            panic!("{} import each other:\n{}", found.join(" -> "), places.join("\n"));
        }
    }
}

#[test]
fn contracts_import_only_what_they_speak_of() {
    let imports = imports();
    let others: Vec<_> = imports["contract"].keys().map(String::as_str).collect();
    assert_eq!(others, ["catalog", "clock", "error", "secret", "sql"]);
}

#[test]
fn circles_are_found() {
    let of = |others: &[&str]| others.iter().map(|other| (other.to_string(), String::new())).collect();
    let mut imports: Imports = [("a", of(&["b"])), ("b", of(&["c"])), ("c", of(&["a"]))]
        .into_iter()
        .map(|(room, others)| (room.to_string(), others))
        .collect();
    let found = circle(&imports, &mut vec!["a".to_string()], &mut BTreeSet::new());
    assert_eq!(found.unwrap(), ["a", "b", "c", "a"]);
    imports.remove("c");
    assert_eq!(circle(&imports, &mut vec!["a".to_string()], &mut BTreeSet::new()), None);
}
