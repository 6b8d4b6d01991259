//! Modules that code imports: `import { f } from './lib/text.js'`, files below the folder of the function.
//!
//! They are read when the function is declared, those first that others need, so that QuickJS finds each by its name
//! and reads no file itself: what a job runs is what was declared. What is not below the folder is not found.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::error::{Error, Result};

/// Modules of one function, and bytes of all.
const MANY: usize = 256;
const LARGE: usize = 16 << 20;

/// A module by the name that QuickJS gives it: its path from the folder.
pub(crate) type Module = (String, String);

#[expect(clippy::expect_used, reason = "a constant pattern")]
static IMPORT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)^[ \t]*(?:(?:import|export)\b[^'"`;()]*?\bfrom\s*|import\s*)['"](\.{1,2}/[^'"]+)['"]"#)
        .expect("the pattern is right")
});

/// The modules that a text imports, and those that they import; each behind what it needs.
pub(crate) fn gather(text: &str, folder: &Path) -> Result<Vec<Module>> {
    let mut gathered = Gathered { folder, known: BTreeSet::new(), modules: Vec::new(), bytes: 0 };
    gathered.imports("", text)?;
    Ok(gathered.modules)
}

struct Gathered<'f> {
    folder: &'f Path,
    known: BTreeSet<String>,
    modules: Vec<Module>,
    bytes: usize,
}

impl Gathered<'_> {
    fn imports(&mut self, of: &str, text: &str) -> Result<()> {
        for found in IMPORT.captures_iter(text) {
            let Some(name) = found.get(1).and_then(|name| normal(of, name.as_str())) else { continue };
            if !self.known.insert(name.clone()) {
                continue;
            }
            // What is not there, or lies elsewhere, QuickJS does not find: it says where it was imported.
            let Some(code) = self.read(&name)? else { continue };
            self.imports(&name, &code)?;
            self.modules.push((name, code));
        }
        Ok(())
    }

    fn read(&mut self, name: &str) -> Result<Option<String>> {
        let folder = match self.folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => self.folder,
        };
        let (Ok(root), Ok(path)) = (folder.canonicalize(), folder.join(name).canonicalize()) else {
            return Ok(None);
        };
        if !path.starts_with(root) || !path.is_file() {
            return Ok(None);
        }
        let code = std::fs::read_to_string(&path).map_err(|e| {
            Error::option(format!("cannot read the module '{}'", path.display())).with_detail(e.to_string())
        })?;
        self.bytes += code.len();
        if self.known.len() > MANY || self.bytes > LARGE {
            return Err(Error::plan(format!(
                "the code imports more than {MANY} modules or {} MB",
                LARGE >> 20
            )));
        }
        Ok(Some(code))
    }
}

/// The name of a module that `of` imports, as QuickJS makes it; `None` above the folder.
fn normal(of: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = of.split('/').collect();
    parts.pop();
    let mut rest = name;
    loop {
        if let Some(below) = rest.strip_prefix("./") {
            rest = below;
        } else if let Some(above) = rest.strip_prefix("../") {
            parts.pop()?;
            rest = above;
        } else {
            break;
        }
    }
    parts.push(rest);
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_those_of_quickjs() {
        assert_eq!(normal("", "./a.js").unwrap(), "a.js");
        assert_eq!(normal("lib/a.js", "./b.js").unwrap(), "lib/b.js");
        assert_eq!(normal("lib/deep/a.js", "../../b.js").unwrap(), "b.js");
        assert_eq!(normal("a.js", "../b.js"), None);
    }

    #[test]
    fn modules_come_behind_what_they_need_and_from_below_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("f");
        std::fs::create_dir_all(folder.join("lib")).unwrap();
        std::fs::write(outer.path().join("secret.js"), "export const s = 1;").unwrap();
        std::fs::write(
            folder.join("a.js"),
            "import {\n  b,\n} from './lib/b.js';\nexport * from \"./c.js\";",
        )
        .unwrap();
        std::fs::write(folder.join("lib/b.js"), "import '../c.js'; export const b = 1;").unwrap();
        std::fs::write(folder.join("c.js"), "import { s } from '../secret.js';").unwrap();
        std::os::unix::fs::symlink(outer.path().join("secret.js"), folder.join("link.js")).unwrap();
        let text =
            "import { b } from './a.js';\nimport './link.js';\n// import './no.js'\nexport function f() {}";
        let modules = gather(text, &folder).unwrap();
        let names: Vec<_> = modules.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["c.js", "lib/b.js", "a.js"]);
    }
}
