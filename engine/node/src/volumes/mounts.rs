//! Mounts of a pod: tmpfs for what must not reach a disk, bind mounts for sub-paths; and their end.
use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Component, Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::{Mode, mkdirat},
};

/// Names in a sub-path. Above this it is refused.
const DEPTH_MAX: usize = 100;

/// Makes `path` a tmpfs, unless it is one already.
pub fn ensure_tmpfs(path: &Path, size_bytes: Option<u64>, mode: u32) -> io::Result<()> {
    make_folder(path, mode)?;
    if is_mount_point(path)? {
        return Ok(());
    }
    let mut options = format!("mode={mode:o}");
    if let Some(size) = size_bytes {
        options.push_str(&format!(",size={size}"));
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str()))?;
    Ok(())
}

/// A folder with exactly these permissions, whatever the umask says.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

fn is_mount_point(path: &Path) -> io::Result<bool> {
    let parent = path.parent().ok_or_else(|| io::Error::other("a mount point has a parent"))?;
    Ok(fs::symlink_metadata(path)?.dev() != fs::symlink_metadata(parent)?.dev())
}

/// Binds what `sub_path` names in `volume` to `target`, and makes it (a folder) if it is not there.
///
/// The path is resolved inside the volume, links included: a link that a container planted cannot lead out of it.
pub fn bind_sub_path(volume: &Path, sub_path: &str, target: &Path) -> io::Result<()> {
    let found = open_beneath(volume, sub_path)?;
    let from = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    let is_folder = fs::metadata(&from)?.is_dir();
    unmount(target)?;
    if is_folder {
        fs::create_dir_all(target)?;
    } else {
        fs::create_dir_all(target.parent().ok_or_else(|| io::Error::other("a target has a parent"))?)?;
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(target)?;
    }
    mount(Some(&from), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
    Ok(())
}

fn open_beneath(volume: &Path, sub_path: &str) -> io::Result<OwnedFd> {
    let parts: Vec<&std::ffi::OsStr> = Path::new(sub_path)
        .components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("subPath `{sub_path}` leaves its volume"))),
        })
        .collect::<io::Result<_>>()?;
    if parts.len() > DEPTH_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("subPath is deeper than {DEPTH_MAX}")));
    }
    let root = open(volume, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mode = Mode::from_bits_truncate(fs::metadata(volume)?.mode() & 0o777);
    let mut relative = PathBuf::new();
    for (index, part) in parts.iter().enumerate() {
        let parent = resolve(&root, &relative)?;
        relative.push(part);
        match resolve(&root, &relative) {
            Ok(found) if index + 1 == parts.len() => return Ok(found),
            Ok(_) => {}
            Err(Errno::ENOENT) => match mkdirat(&parent, *part, mode) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(e) => return Err(e.into()),
            },
            Err(e) => return Err(e.into()),
        }
    }
    Ok(resolve(&root, &relative)?)
}

fn resolve(root: &OwnedFd, relative: &Path) -> nix::Result<OwnedFd> {
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, relative, how)
}

fn unmount(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Mount points at and below `folder`, deepest first.
fn mounts_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| PathBuf::from(unescape(point)));
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    below.reverse();
    Ok(below)
}

/// mountinfo writes space, tab, newline and backslash as octal.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Ends every mount at and below `folder`. What lies on the disk stays.
pub fn unmount_below(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    mounts_below(&fs::canonicalize(folder)?)?.iter().try_for_each(|point| unmount(point))
}

/// Takes a pod's folder away. Nothing is deleted while something is mounted in it: what a bind mount shows is not the pod's.
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let folder = fs::canonicalize(folder)?;
    unmount_below(&folder)?;
    if let Some(left) = mounts_below(&folder)?.first() {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{} is still mounted", left.display())));
    }
    fs::remove_dir_all(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_path_is_made_and_bound_and_its_removal_leaves_the_volume() {
        let folder = tempfile::tempdir().expect("a folder");
        let (volume, pod) = (folder.path().join("volume"), folder.path().join("pod"));
        fs::create_dir_all(&volume).expect("made");
        fs::create_dir_all(&pod).expect("made");
        bind_sub_path(&volume, "a/b", &pod.join("target")).expect("bound");
        fs::write(pod.join("target/file"), "x").expect("written");
        assert_eq!(fs::read_to_string(volume.join("a/b/file")).expect("there"), "x");
        remove_folder(&pod).expect("removed");
        assert!(!pod.exists());
        assert_eq!(fs::read_to_string(volume.join("a/b/file")).expect("still there"), "x");
    }

    #[test]
    fn a_sub_path_through_a_planted_link_stays_in_the_volume() {
        let folder = tempfile::tempdir().expect("a folder");
        let volume = folder.path().join("volume");
        fs::create_dir_all(&volume).expect("made");
        fs::write(folder.path().join("secret"), "host").expect("written");
        std::os::unix::fs::symlink("../secret", volume.join("link")).expect("linked");
        std::os::unix::fs::symlink("/etc", volume.join("absolute")).expect("linked");
        assert!(open_beneath(&volume, "link").is_err(), "`..` at the root of the volume stays there");
        assert!(open_beneath(&volume, "absolute/passwd").is_err());
        assert!(open_beneath(&volume, "../secret").is_err());
        assert!(open_beneath(&volume, "/etc").is_err());
    }

    #[test]
    fn a_tmpfs_is_mounted_once_and_goes_with_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let pod = folder.path().join("pod");
        fs::create_dir_all(&pod).expect("made");
        for _ in 0..2 {
            ensure_tmpfs(&pod.join("t"), Some(64 * 1024), 0o755).expect("mounted");
        }
        let canonical = fs::canonicalize(&pod).expect("there");
        assert_eq!(mounts_below(&canonical).expect("read").len(), 1);
        assert!(fs::write(pod.join("t/big"), vec![0; 1024 * 1024]).is_err(), "the size holds");
        remove_folder(&pod).expect("removed");
        assert!(!pod.exists());
    }
}
