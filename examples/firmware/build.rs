//! The memory map of the machine that `MACHINE` names.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let (flash, ram) = match env::var("MACHINE").as_deref() {
        Ok("microbit") => ("256K", "16K"),
        Ok("mps2-an385") => ("4M", "4M"),
        _ => ("256K", "64K"),
    };
    let map = format!(
        "MEMORY {{ FLASH : ORIGIN = 0x00000000, LENGTH = {flash}  RAM : ORIGIN = 0x20000000, LENGTH = {ram} }}"
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    fs::write(out.join("memory.x"), map).unwrap();
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-env-changed=MACHINE");
    println!("cargo:rerun-if-changed=build.rs");
}
