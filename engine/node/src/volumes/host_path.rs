//! Folders, files and devices of the machine.
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};

use crate::pods::effect::Failure;

/// Sees that the path is what the type says, and makes it where the type says so.
pub fn check(path: &Path, kind: &str) -> Result<(), Failure> {
    let failed = |why: String| Failure::new("FailedMount", format!("hostPath type check failed: {} {why}", path.display()));
    let made = match kind {
        "DirectoryOrCreate" if !path.exists() => make_folder(path),
        "FileOrCreate" if !path.exists() => make_file(path),
        _ => Ok(()),
    };
    made.map_err(|source| failed(format!("cannot be made: {source}")))?;
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        // Without a type the runtime makes what is missing, as others do.
        Err(e) if e.kind() == io::ErrorKind::NotFound && kind.is_empty() => return Ok(()),
        Err(source) => return Err(failed(format!("cannot be read: {source}"))),
    };
    let file_type = meta.file_type();
    let fits = match kind {
        "" => true,
        "Directory" | "DirectoryOrCreate" => file_type.is_dir(),
        "File" | "FileOrCreate" => file_type.is_file(),
        "Socket" => file_type.is_socket(),
        "CharDevice" => file_type.is_char_device(),
        "BlockDevice" => file_type.is_block_device(),
        _ => false,
    };
    if fits { Ok(()) } else { Err(failed(format!("is not a {kind}"))) }
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn make_file(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().create_new(true).write(true).open(path)?.set_permissions(fs::Permissions::from_mode(0o644))
}
