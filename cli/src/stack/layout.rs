//! Where things lie in a checkout.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::StackError;

/// Names one of several local stacks of a checkout, which stand beside each other.
const STACK: &str = "LANDFALL_STACK";

/// Who has it open works on the stack.
const LOCK: &str = "lock";

/// Which local stack of a checkout is meant, as `LANDFALL_STACK` says; `None` is the usual one.
pub fn name() -> Option<String> {
    let name = std::env::var_os(STACK)?.to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

/// The folder of a local stack in its checkout: `.landfall`, or `.landfall-NAME`.
///
/// # Errors
/// [`StackError::Option`] for another name than small letters, digits and hyphens: it is part of what `down` removes.
pub fn folder(name: Option<&str>) -> Result<String, StackError> {
    let Some(name) = name else {
        return Ok(".landfall".to_owned());
    };
    // No upper case: there are disks on which it is the same.
    let plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    if name.len() > 32 || !name.chars().all(plain) {
        return Err(StackError::Option {
            name: STACK,
            problem: format!("must be small letters, digits and hyphens, 32 at most, not {name:?}"),
        });
    }
    Ok(format!(".landfall-{name}"))
}

/// The paths of a checkout. Cheap to clone into a worker thread.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
    state: PathBuf,
}

impl Layout {
    /// Recognizes a checkout by what the stack needs of it.
    pub(super) fn new(root: &Path) -> Result<Self, StackError> {
        let root = root
            .canonicalize()
            .map_err(StackError::file("find", root))?;
        for needed in [
            "Cargo.toml",
            "terraform",
            "functions",
            "tests/requirements.txt",
        ] {
            if !root.join(needed).exists() {
                return Err(StackError::NotACheckout {
                    root,
                    missing: needed,
                });
            }
        }
        let state = root.join(folder(name().as_deref())?);
        Ok(Self { root, state })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn terraform_module(&self) -> PathBuf {
        self.root.join("terraform")
    }

    pub(super) fn requirements(&self) -> PathBuf {
        self.root.join("tests/requirements.txt")
    }

    pub(super) fn venv(&self) -> PathBuf {
        self.root.join(".venv")
    }

    /// What lives as long as the stack.
    pub(super) fn state(&self) -> PathBuf {
        self.state.clone()
    }

    pub(super) fn stack_file(&self) -> PathBuf {
        self.state().join("stack.json")
    }

    pub(super) fn processes_file(&self) -> PathBuf {
        self.state().join("processes.json")
    }

    pub(super) fn artifacts(&self) -> PathBuf {
        self.state().join("artifacts")
    }

    pub(super) fn environments(&self) -> PathBuf {
        self.state().join("env")
    }

    /// Scratch space for the processes, so that theirs goes when the stack goes.
    pub(super) fn scratch(&self) -> PathBuf {
        self.state().join("tmp")
    }

    pub(super) fn terraform_state(&self) -> PathBuf {
        self.state().join("terraform")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.state().join("logs").join(format!("{name}.log"))
    }

    /// Whether there is a stack's folder, which is what `up` makes: one with its lock.
    ///
    /// # Errors
    /// [`StackError::Foreign`] where something else stands in its place.
    pub(super) fn stands(&self) -> Result<bool, StackError> {
        let path = self.state();
        match fs::symlink_metadata(&path) {
            Err(_) => Ok(false),
            Ok(found) if found.is_dir() && path.join(LOCK).is_file() => Ok(true),
            Ok(_) => Err(StackError::Foreign { path }),
        }
    }

    /// Keeps a second `up` or `down` out while the returned file is open.
    pub(super) fn lock(&self) -> Result<File, StackError> {
        create_dir(&self.state())?;
        let path = self.state().join(LOCK);
        let file = File::create(&path).map_err(StackError::file("create", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StackError::Busy {
                root: self.root.clone(),
            }),
            Err(TryLockError::Error(source)) => Err(StackError::File {
                action: "lock",
                path,
                source,
            }),
        }
    }

    /// This stack's own signing secret, the same for as long as the stack stands.
    pub(super) fn callback_secret(&self) -> Result<String, StackError> {
        let path = self.state().join("callback-secret");
        match fs::read_to_string(&path) {
            Ok(secret) if !secret.is_empty() => return Ok(secret),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => {
                return Err(StackError::File {
                    action: "read",
                    path,
                    source,
                });
            }
        }
        let random = [
            uuid::Uuid::new_v4().into_bytes(),
            uuid::Uuid::new_v4().into_bytes(),
        ]
        .concat();
        let secret = format!("whsec_{}", STANDARD.encode(random));
        private_file(&path)?
            .write_all(secret.as_bytes())
            .map_err(StackError::file("write", &path))?;
        Ok(secret)
    }

    /// Removes Terraform's memory of what it deployed.
    pub(super) fn forget_deployment(&self) -> Result<(), StackError> {
        for name in ["terraform.tfstate", "terraform.tfstate.backup"] {
            remove(&self.terraform_state().join(name))?;
        }
        remove(&self.stack_file())
    }

    /// Removes everything that `up` left in the stack's folder.
    pub(super) fn remove(&self) -> Result<(), StackError> {
        let path = self.state();
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StackError::File {
                action: "remove",
                path,
                source: error,
            }),
            _ => Ok(()),
        }
    }
}

/// Creates a directory and those above it.
pub(super) fn create_dir(path: &Path) -> Result<(), StackError> {
    fs::create_dir_all(path).map_err(StackError::file("create", path))
}

/// Writes a file whole: a reader sees the old content or the new, never a part.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), StackError> {
    let next = path.with_extension("next");
    let mut file = private_file(&next)?;
    file.write_all(content)
        .map_err(StackError::file("write", &next))?;
    fs::rename(&next, path).map_err(StackError::file("replace", path))
}

/// Removes a file that may be absent.
pub(super) fn remove(path: &Path) -> Result<(), StackError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StackError::File {
            action: "remove",
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Opens a file for this user alone: it may hold the signing secret.
fn private_file(path: &Path) -> Result<File, StackError> {
    use std::os::unix::fs::OpenOptionsExt;

    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(StackError::file("create", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_within_its_checkout() {
        for (name, wanted) in [
            (None, ".landfall"),
            (Some("b"), ".landfall-b"),
            (Some("x-2"), ".landfall-x-2"),
        ] {
            assert_eq!(folder(name).unwrap(), wanted);
        }
        let long = "x".repeat(33);
        for name in [
            "..",
            "/",
            "../terraform",
            "a b",
            "B",
            "ü",
            "\u{fffd}",
            &long,
        ] {
            let error = folder(Some(name)).unwrap_err().to_string();
            assert!(error.contains("LANDFALL_STACK must be small"), "{error}");
            assert!(error.contains(name), "{error}");
        }
    }
}
