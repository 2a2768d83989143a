//! Files that cannot be read, and folders that are not what they seem.

use super::Row;
use std::path::Path;

const APP: &str = "apiVersion: muster.dev/v1\nkind: CompositeApp\nmetadata: {project: p, name: a, version: v1}\nspec: {apps: [{name: x, manifests: [PATH]}]}\n";

/// `muster apply` of an app whose manifests are at `path`.
fn apply(what: &'static str, path: &str, says: &[&'static str]) -> Row {
    Row::new(what, "apply -f DIR/d.yaml", 1, says).file("d.yaml", APP.replace("PATH", path))
}

fn fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo")
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success(), "mkfifo");
}

pub fn rows() -> Vec<Row> {
    let at = "d.yaml, document 1, spec.apps[0].manifests[0]";
    vec![
        Row::new("a file that is not there", "apply -f DIR/none.yaml", 1, &["cannot read none.yaml: no such file or folder; correct the path"]),
        apply("a manifest that is not there", "none.yaml", &[at, "cannot read none.yaml: no such file or folder; correct the path: a document's paths are relative to the document"]),
        apply("a link to nothing", "m.yaml", &[at, "cannot read m.yaml: no such file"])
            .with(|dir| std::os::unix::fs::symlink("nowhere", dir.join("m.yaml")).unwrap()),
        apply("a path that leaves, to what is no manifest", "../../../../../../../../etc/hostname", &["no Kubernetes object; write a mapping with apiVersion and kind"])
            .details("../../../../../../../../etc/hostname#1"),
        apply("a URL", "\"https://example.org/x.yaml\"", &[at, "https://example.org/x.yaml is a URL; download it and name the file"]),
        Row::new("a pipe that nobody writes to", "apply -f DIR/p", 1, &["p is a pipe, a file is needed; name a file, or use - for standard input"])
            .with(|dir| fifo(&dir.join("p"))),
        apply("a pipe among the manifests", "p", &[at, "p is a pipe, a file is needed"])
            .with(|dir| fifo(&dir.join("p"))),
        apply("a pipe in a folder", "m", &[at, "m/p.yaml is not a regular file; remove it from the folder"])
            .with(|dir| {
                std::fs::create_dir(dir.join("m")).unwrap();
                fifo(&dir.join("m/p.yaml"));
            }),
        Row::new("a socket", "apply -f DIR/s", 1, &["s is a socket, a file is needed; name a file"])
            .with(|dir| drop(std::os::unix::net::UnixListener::bind(dir.join("s")).unwrap())),
        Row::new("an endless file of nothing", "apply -f /dev/zero", 1, &["/dev/zero is not text: it contains NUL bytes; name a file of YAML or JSON"]),
        apply("an endless file as a manifest", "/dev/zero", &[at, "/dev/zero is not text: it contains NUL bytes"]),
        Row::new("an empty file", "apply -f /dev/null", 1, &["holds no document: /dev/null; send at least one document"])
            .details("the upload"),
        apply("a file of 65 MiB", "m.yaml", &[at, "m.yaml is larger than 64 MiB, no manifest is; split it"])
            .with(|dir| {
                let file = std::fs::File::create(dir.join("m.yaml")).unwrap();
                file.set_len(65 << 20).unwrap();
            }),
        Row::new("an empty folder", "apply -f DIR/m", 1, &["m holds no *.yaml, *.yml or *.json file; name a file, or a folder with such files"])
            .with(|dir| std::fs::create_dir(dir.join("m")).unwrap()),
        apply("an empty folder of manifests", "m/", &["d.yaml#1:spec.apps[0].manifests[0]", "m/: app x: no objects; name a file or folder with Kubernetes objects"])
            .with(|dir| std::fs::create_dir(dir.join("m")).unwrap())
            .details("d.yaml#1:spec.apps[0].manifests[0]"),
        apply("a folder with a binary file", "m/", &[at, "m/b.yaml is not text: it contains NUL bytes"])
            .file("m/a.yaml", super::CONFIG_MAP)
            .file("m/b.yaml", b"\x7fELF\0\0".to_vec()),
        apply("a folder that contains itself", "m/", &[at, "contains itself by a link; remove the link"])
            .file("m/a.yaml", super::CONFIG_MAP)
            .with(|dir| std::os::unix::fs::symlink(dir.join("m"), dir.join("m/again")).unwrap()),
        apply("a folder of kustomize", "m/", &[at, "holds kustomization.yaml: a folder for kustomize", "`kubectl kustomize m"])
            .file("m/kustomization.yaml", "resources: [a.yaml]\n")
            .file("m/a.yaml", super::CONFIG_MAP),
        apply("a chart of helm", "m/", &[at, "holds Chart.yaml: a folder for helm", "`helm template"])
            .file("m/Chart.yaml", "name: x\n")
            .file("m/templates/a.yaml", "kind: {{ .Values.kind }}\n"),
        apply("a template of helm", "m.yaml", &["m.yaml#1", "; correct the YAML"])
            .file("m.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n")
            .details("m.yaml#1"),
        Row::new("a folder where a kubeconfig belongs", "apply -f DIR/d.yaml", 1, &["d.yaml, document 1, spec.kubeconfig: k is a folder, a file is needed; name a file in it"])
            .file("d.yaml", "apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: c9}\nspec: {kubeconfig: k}\n")
            .with(|dir| std::fs::create_dir(dir.join("k")).unwrap()),
        Row::new("nothing on standard input", "apply -f -", 1, &["holds no document: -; send at least one document"])
            .details("the upload"),
        Row::new("broken YAML on standard input", "apply -f -", 1, &["-#1", "line 1", "; correct the YAML"])
            .stdin("a: ]")
            .details("-#1"),
        Row::new("a binary on standard input", "apply -f -", 1, &["standard input is not text: it contains NUL bytes; name a file"])
            .stdin(b"\x7fELF\0".to_vec()),
        Row::new("standard input named twice", "apply -f - -f -", 2, &["standard input is named twice: by -f - and by -f -; write one of them to a file"]),
    ]
}
