//! Terraform's provider without a registry: a machine may hold it in a mirror and have no way to ask for it.

use std::fs;
use std::path::{Path, PathBuf};

use super::StackError;
use super::layout::{Layout, create_dir, replace};

/// What marks a folder as a provider mirror that is of use here.
const PROVIDER: &str = "registry.terraform.io/hashicorp/aws";

/// Writes a Terraform CLI configuration that takes the provider from a mirror of this machine, if there is one.
///
/// `None` leaves Terraform to its own ways: the person's own configuration, or else the registry.
pub(super) fn configure(layout: &Layout) -> Result<Option<PathBuf>, StackError> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let named = std::env::var_os("TF_PLUGIN_MIRROR").map(PathBuf::from);
    if named.is_none() && has_own_configuration(home.as_deref()) {
        return Ok(None);
    }
    let Some(mirror) = candidates(named, home)
        .into_iter()
        .find(|folder| folder.join(PROVIDER).is_dir())
    else {
        return Ok(None);
    };
    create_dir(&layout.terraform_state())?;
    let path = layout.terraform_state().join("cli.tfrc");
    replace(&path, configuration(&mirror).as_bytes())?;
    Ok(Some(path))
}

/// Whoever configured Terraform by hand knows better, for instance of a mirror in the company's network.
fn has_own_configuration(home: Option<&Path>) -> bool {
    match std::env::var_os("TF_CLI_CONFIG_FILE") {
        Some(path) => Path::new(&path).is_file(),
        None => home.is_some_and(|home| home.join(".terraformrc").is_file()),
    }
}

fn candidates(named: Option<PathBuf>, home: Option<PathBuf>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = named.into_iter().collect();
    folders.extend(home.map(|home| home.join(".terraform.d/plugins")));
    folders.extend(
        [
            "/usr/share/terraform/plugins",
            "/usr/local/share/terraform/plugins",
        ]
        .map(PathBuf::from),
    );
    let mut optional: Vec<PathBuf> = fs::read_dir("/opt")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    optional.sort();
    folders.extend(optional);
    folders
}

/// Both methods name the provider: were it left to `direct` as well, Terraform would ask the registry for its versions
/// and fail where there is none.
fn configuration(mirror: &Path) -> String {
    let path = mirror
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!(
        "provider_installation {{\n  filesystem_mirror {{\n    path    = \"{path}\"\n    include = [\"{PROVIDER}\"]\n  }}\n  \
         direct {{\n    exclude = [\"{PROVIDER}\"]\n  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_mirror_comes_first_and_the_home_directory_second() {
        let folders = candidates(Some("/mirror".into()), Some("/home/me".into()));
        assert_eq!(folders[0], Path::new("/mirror"));
        assert_eq!(folders[1], Path::new("/home/me/.terraform.d/plugins"));
    }

    #[test]
    fn the_configuration_asks_the_registry_for_other_providers_only() {
        assert_eq!(
            configuration(Path::new("/mirror")),
            r#"provider_installation {
  filesystem_mirror {
    path    = "/mirror"
    include = ["registry.terraform.io/hashicorp/aws"]
  }
  direct {
    exclude = ["registry.terraform.io/hashicorp/aws"]
  }
}
"#
        );
    }
}
