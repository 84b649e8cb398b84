//! Where things lie in a checkout.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::StackError;

/// Names one of several local stacks of a checkout, which stand beside each other.
const STACK: &str = "LANDFALL_STACK";

/// The folder of a local stack in its checkout: `.landfall`, or `.landfall-NAME` with the name in `LANDFALL_STACK`.
///
/// # Errors
/// [`StackError::Option`] for a name that is more than letters, digits and hyphens: it names what `down` removes.
pub fn folder() -> Result<String, StackError> {
    folder_of(&std::env::var(STACK).unwrap_or_default())
}

fn folder_of(name: &str) -> Result<String, StackError> {
    if name.is_empty() {
        return Ok(".landfall".to_owned());
    }
    if !name
        .chars()
        .all(|it| it.is_ascii_alphanumeric() || it == '-')
    {
        return Err(StackError::Option {
            name: STACK,
            problem: format!("must be letters, digits and hyphens, not {name:?}"),
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
        let state = root.join(folder()?);
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

    /// Keeps a second `up` or `down` out while the returned file is open.
    pub(super) fn lock(&self) -> Result<File, StackError> {
        create_dir(&self.state())?;
        let path = self.state().join("lock");
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
        for (name, folder) in [
            ("", ".landfall"),
            ("b", ".landfall-b"),
            ("x-2", ".landfall-x-2"),
        ] {
            assert_eq!(folder_of(name).unwrap(), folder);
        }
        for name in ["..", "/", "../terraform", "a b", "ü"] {
            let error = folder_of(name).unwrap_err().to_string();
            assert!(error.contains("LANDFALL_STACK must be letters"), "{error}");
            assert!(error.contains(name), "{error}");
        }
    }
}
