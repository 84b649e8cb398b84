//! Building the functions and the simulator, and packing the functions for Lambda.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Deserialize;
use zip::write::SimpleFileOptions;

use super::StackError;
use super::command::spawn_error;
use super::console::Console;
use super::layout::{Layout, create_dir};

const SIMULATOR: &str = "landfall-simulator";

/// What a build leaves for the stack, beside the packages in [`Layout::artifacts`].
#[derive(Debug)]
pub(super) struct Artifacts {
    pub(super) simulator: PathBuf,
}

/// One line of `cargo build --message-format=json`, as far as we read it.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds every binary of the workspace in one go and packs each function that changed.
pub(super) fn build(
    layout: &Layout,
    cargo: &OsStr,
    console: Console,
) -> Result<Artifacts, StackError> {
    let started = Instant::now();
    console.say("cargo: building the functions and the simulator");
    let mut binaries = compile(layout, cargo, console)?;
    create_dir(&layout.artifacts())?;
    let functions = function_names(layout)?;
    let mut packed = 0;
    for name in &functions {
        let binary = take(&mut binaries, name)?;
        packed += usize::from(pack(
            &binary,
            &layout.artifacts().join(format!("{name}.zip")),
        )?);
    }
    console.done(
        &format!(
            "cargo: {} functions are built, {packed} packed anew",
            functions.len()
        ),
        started,
    );
    Ok(Artifacts {
        simulator: take(&mut binaries, SIMULATOR)?,
    })
}

/// Builds the whole workspace rather than the binaries wanted: that is what `make build` does too, and a narrower choice
/// would unify features otherwise and build the AWS crates a second time.
fn compile(
    layout: &Layout,
    cargo: &OsStr,
    console: Console,
) -> Result<BTreeMap<String, PathBuf>, StackError> {
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--workspace",
            "--bins",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(layout.root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if console.is_quiet() {
        command.arg("--quiet");
    }
    // Where this program was built everything else is built already.
    if std::env::var_os("CARGO_TARGET_DIR").is_none()
        && let Some(target) = std::env::current_exe().ok().as_deref().and_then(target_of)
    {
        command.env("CARGO_TARGET_DIR", target);
    }
    let output = command.output().map_err(spawn_error(&command))?;
    if !output.status.success() {
        return Err(StackError::Command {
            what: "cargo build".to_owned(),
            status: output.status.to_string(),
            detail: String::new(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect())
}

/// The target directory in which a program lies, if cargo has built it there: `TARGET/debug/PROGRAM`.
fn target_of(program: &Path) -> Option<&Path> {
    let profile = program.parent()?;
    let target = profile.parent()?;
    profile.join(".cargo-lock").is_file().then_some(target)
}

fn take(binaries: &mut BTreeMap<String, PathBuf>, name: &str) -> Result<PathBuf, StackError> {
    binaries.remove(name).ok_or_else(|| StackError::Command {
        what: "cargo build".to_owned(),
        status: format!("no binary named {name}"),
        detail: format!("the crate of {name} must have a binary of that name"),
    })
}

/// The functions are the folders of `functions/`; everything else is named after them.
fn function_names(layout: &Layout) -> Result<Vec<String>, StackError> {
    let folder = layout.root().join("functions");
    let read = || StackError::file("read", &folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(read())? {
        let entry = entry.map_err(read())?;
        if entry.path().join("Cargo.toml").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Packs a binary as Lambda wants it, unless the package is newer. Returns whether it did.
fn pack(binary: &Path, package: &Path) -> Result<bool, StackError> {
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    let built = changed(binary).map_err(StackError::file("read", binary))?;
    if changed(package).is_ok_and(|packed| packed >= built) {
        return Ok(false);
    }
    // Not compressed, as the package travels no further than this machine; and the same bytes for the same binary, as
    // the writer sets no time: Terraform deploys by content.
    let next = package.with_extension("next");
    let write = || StackError::file("write", &next);
    let mut archive = zip::ZipWriter::new(File::create(&next).map_err(write())?);
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o755);
    archive
        .start_file("bootstrap", options)
        .map_err(io::Error::from)
        .map_err(write())?;
    let mut source = File::open(binary).map_err(StackError::file("read", binary))?;
    io::copy(&mut source, &mut archive).map_err(write())?;
    archive.finish().map_err(io::Error::from).map_err(write())?;
    fs::rename(&next, package).map_err(StackError::file("replace", package))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("landfall-{name}-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_program_knows_where_it_was_built() {
        let target = scratch("target");
        let program = target.join("debug/landfall");
        fs::create_dir_all(target.join("debug")).unwrap();
        // One that was installed somewhere.
        assert_eq!(target_of(&program), None);
        fs::write(target.join("debug/.cargo-lock"), "").unwrap();
        assert_eq!(target_of(&program), Some(target.as_path()));
        fs::remove_dir_all(target).unwrap();
    }

    #[test]
    fn a_package_holds_the_binary_as_an_executable_bootstrap_and_is_made_once() {
        let folder = scratch("pack");
        let (binary, package) = (folder.join("binary"), folder.join("ingress.zip"));
        fs::write(&binary, b"#!/bin/sh\n").unwrap();

        assert!(pack(&binary, &package).unwrap());
        let first = fs::read(&package).unwrap();
        assert!(
            !pack(&binary, &package).unwrap(),
            "an unchanged binary needs no new package"
        );

        let mut archive = zip::ZipArchive::new(File::open(&package).unwrap()).unwrap();
        let mut entry = archive.by_name("bootstrap").unwrap();
        assert_eq!(entry.unix_mode().unwrap() & 0o777, 0o755);
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        assert_eq!(content, "#!/bin/sh\n");

        fs::remove_file(&package).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(pack(&binary, &package).unwrap());
        assert_eq!(
            fs::read(&package).unwrap(),
            first,
            "the same binary makes the same package"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
