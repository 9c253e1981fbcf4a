//! What cargo knows about the workspace.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId};

/// Every crate of ours has this prefix; its folder has not. The one that programs add is called just that.
const PREFIX: &str = "flext-ldap-";
const FACADE: &str = "flext-ldap";

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The name of one of our crates without its prefix; `None` for a crate from outside.
pub(crate) fn short_name(package: &Package) -> Option<&str> {
    package.name.strip_prefix(PREFIX).or_else(|| (package.name == FACADE).then_some(FACADE))
}

/// The resolved workspace, on this machine's platform.
pub(crate) struct Workspace {
    pub(crate) metadata: Metadata,
    packages: HashMap<PackageId, Package>,
    nodes: HashMap<PackageId, Node>,
}

impl Workspace {
    pub(crate) fn load() -> Self {
        let platform = ["--locked", "--filter-platform", &host()].map(str::to_owned).to_vec();
        let manifest = root().join("Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifest).other_options(platform).exec().unwrap();
        let packages =
            metadata.packages.iter().map(|package| (package.id.clone(), package.clone())).collect();
        let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
        let nodes = nodes.map(|node| (node.id.clone(), node.clone())).collect();
        Self { metadata, packages, nodes }
    }

    /// Our own crates.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.metadata.workspace_members.iter().map(|id| &self.packages[id])
    }

    /// Everything that is built on this platform, for tests too.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Package> {
        self.nodes.keys().map(|id| &self.packages[id])
    }

    /// What a package depends on by an edge of one of these kinds.
    pub(crate) fn dependencies(&self, id: &PackageId, kinds: &[DependencyKind]) -> Vec<&Package> {
        let by_kind = |kind: &DependencyKind| kinds.contains(kind);
        let deps = self.nodes[id].deps.iter();
        deps.filter(|dep| dep.dep_kinds.iter().any(|info| by_kind(&info.kind)))
            .map(|dep| &self.packages[&dep.pkg])
            .collect()
    }

    /// The names of all that a crate of ours needs to run.
    pub(crate) fn needs(&self, name: &str) -> BTreeSet<String> {
        let start = self.members().find(|package| short_name(package) == Some(name)).unwrap();
        let (mut seen, mut open) = (BTreeSet::new(), vec![start.id.clone()]);
        while let Some(id) = open.pop() {
            for package in self.dependencies(&id, &[DependencyKind::Normal]) {
                if seen.insert(package.name.to_string()) {
                    open.push(package.id.clone());
                }
            }
        }
        seen
    }
}

/// `name version` of every crate in a normal tree, as cargo resolves features for it alone.
pub(crate) fn normal_tree(selection: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(selection)
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(format!("{} {}", words.next()?, words.next()?))
        })
        .collect()
}

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}
