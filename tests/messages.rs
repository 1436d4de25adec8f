//! What the compiler says of the mistakes that are easily made, in our words and in no others.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A package that depends on this one, in a folder of its own.
fn package(name: &str, features: &str, code: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let root = env!("CARGO_MANIFEST_DIR");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n[workspace]\n[dependencies.onlooker]\n\
         path = \"{root}\"\ndefault-features = false\nfeatures = [{features}]\n"
    );
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/lib.rs"), code).unwrap();
    folder
}

fn rustc(question: &[&str]) -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).args(question).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn triple() -> String {
    let version = rustc(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

/// What is said of the package in this folder, and whether it is built all the same.
fn said(package: &Path, flags: &str) -> (String, bool) {
    // With a target the flags are not for build scripts.
    let output = Command::new(env!("CARGO"))
        .current_dir(package)
        .args(["check", "--offline", "--target", &triple(), "--target-dir"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("messages"))
        .env("RUSTFLAGS", flags)
        .env("CARGO_TERM_COLOR", "never")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (said, output.status.success())
}

/// Where the crate's libraries lie, without std's: a target that has none.
fn without_std() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("without_std");
    let here = root.join("lib/rustlib").join(triple()).join("lib");
    std::fs::create_dir_all(&here).unwrap();
    for library in std::fs::read_dir(rustc(&["--print", "target-libdir"]).trim()).unwrap() {
        let library = library.unwrap();
        let name = library.file_name().into_string().unwrap();
        // The last one is what `compiler_builtins` knows `core` by, where that was built in the old way.
        if [
            "libcore-",
            "liballoc-",
            "libcompiler_builtins-",
            "librustc_std_workspace_core-",
        ]
        .iter()
        .any(|bare| name.starts_with(bare))
        {
            std::fs::copy(library.path(), here.join(name)).unwrap();
        }
    }
    root
}

#[test]
fn without_std_and_critical_section_there_is_one_error_and_no_other() {
    let bare = format!("--sysroot {}", without_std().display());
    for flags in ["", &bare] {
        for features in ["", "\"inspect\""] {
            let user = package("neither", features, "#![no_std]\npub use onlooker::*;\n");
            let (said, built) = said(&user, flags);
            let ours = "error: onlooker needs a lock: enable the feature `std` (the default), or `critical-section`";
            assert!(!built && said.contains(ours), "{said}");
            // Beside it only cargo's own last line.
            let errors = said.lines().filter(|line| line.starts_with("error"));
            assert_eq!(errors.count(), 2, "{said}");
            assert!(!said.contains("warning"), "{said}");
        }
    }
}

#[test]
fn a_lock_is_all_that_a_target_without_std_needs() {
    let bare = format!("--sysroot {}", without_std().display());
    let user = package(
        "bare",
        "\"critical-section\"",
        "#![no_std]\npub use onlooker::*;\n",
    );
    let (said, built) = said(&user, &bare);
    assert!(built && !said.contains("warning"), "{said}");
}

#[test]
fn who_takes_the_time_for_the_timer_is_told_which_comes_first() {
    let user = package(
        "timers",
        "\"std\"",
        "use std::time::Duration;
        pub async fn swapped(state: &onlooker::Watched<u8>, second: Duration) {
            let _ = state.wait_for(1).timeout(second, second).await;
        }
        pub async fn guessed(view: &onlooker::View<u8>, second: Duration) {
            let _ = view.wait_for(1).timeout(\"tokio\", second).await;
        }",
    );
    let (said, built) = said(&user, "");
    assert!(!built, "{said}");
    for expected in [
        "error[E0277]: `Duration` is no timer",
        "error[E0277]: `&str` is no timer",
        "neither a timer of this crate nor a function from a `Duration` to a future",
        "the timer comes first, then the time: `wait.timeout(Tokio, Duration::from_secs(1))`",
        "`Smol`, `AsyncStd`, `Tokio` and `Embassy` are behind the features of their names",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(
        !said.contains("`Fn"),
        "a function is advised by the note: {said}"
    );
}

#[test]
fn every_future_guard_and_watcher_that_nobody_keeps_is_warned_of() {
    let lines = [
        "state.wait_for(None);",
        "state.wait_for_not(None);",
        "state.wait_until(|_| true);",
        "state.wait_map(|value| *value);",
        "state.wait_for_some();",
        "state.wait_for_change();",
        "state.wait_for_next(None);",
        "state.wait_until_next(|_| true);",
        "state.wait_unwatched();",
        "state.wait_watched();",
        "state.wait_for(None).timeout(timer, second);",
        "state.wait_for(None).unless(async {});",
        "state.set_paced(None);",
        "state.set_paced(None).timeout(timer, second);",
        "state.set_paced(None).unless(async {});",
        "state.watch();",
        "state.watch_bounded(1, Overflow::DropOldest);",
        "state.watch_since(0);",
        "state.watch().values();",
        "state.on_change(|_| ());",
        "state.on_value(None, |_| ());",
        "view.wait_for(None);",
        "view.wait_until(|_| true);",
        "view.wait_for_some();",
        "view.wait_for_change();",
        "view.wait_for(None).timeout(timer, second);",
        "view.wait_for(None).unless(async {});",
        "view.watch();",
        "view.on_change(|_| ());",
        "watcher.recv();",
        "watcher.wait_for(None);",
        "watcher.wait_until(|_| true);",
        "watcher.wait_for_some();",
        "watcher.recv().timeout(timer, second);",
        "watcher.recv().unless(async {});",
        "watcher.wait_for(None).timeout(timer, second);",
    ];
    let code = format!(
        "use onlooker::{{Overflow, View, Watched, Watcher}};
        use std::time::Duration;
        pub fn forgetful(state: &Watched<Option<u8>>, view: &View<Option<u8>>, watcher: &mut Watcher<Option<u8>>) {{
            let (timer, second) = (|_| async {{}}, Duration::from_secs(1));
            {}
        }}",
        lines.join("\n")
    );
    let (said, built) = said(&package("forgetful", "\"std\"", &code), "");
    assert!(built, "{said}");
    for line in lines {
        assert!(said.contains(line), "not warned of: {line}");
    }
    let warned = said.matches("that must be used").count();
    assert_eq!(warned, lines.len(), "{said}");
}
