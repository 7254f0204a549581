//! Disks that a test makes, mounts and takes the power from: images with an ext4 on a loop device. Needs root.

use crate::broker::{Broker, Program};
use crate::wait::{DEADLINE, eventually};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Where images are: memory, so that a sync costs what ext4 makes of it and no more.
const IMAGES: &str = "/dev/shm";

/// A disk in a folder of its own. Unmounted and gone when dropped, or when the test's process ends in another way.
pub struct Disk {
    folder: PathBuf,
    /// The loop device, once it was mounted.
    device: OnceLock<String>,
    keeper: Child,
}

impl Disk {
    /// An empty disk of so many bytes, not mounted.
    pub fn new(bytes: u64) -> Disk {
        let disk = Disk::unformatted(bytes);
        // Nothing is left for the kernel to write later, by itself. The journal is small, so that it goes round soon.
        let now = ["-E", "lazy_itable_init=0,lazy_journal_init=0"];
        let format = ["-q", "-F", "-m", "0", "-b", "4096", "-J", "size=4"];
        run(Command::new("mkfs.ext4").args(format).args(now).arg(disk.image()));
        disk
    }

    /// The same without a file system.
    pub fn unformatted(bytes: u64) -> Disk {
        let folder = tempfile::Builder::new().prefix("postrider-disk-").tempdir_in(IMAGES);
        let folder = folder.unwrap_or_else(|error| panic!("a folder in {IMAGES}: {error}")).keep();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", include_str!("keep.sh"), "keeper"]).arg(&folder);
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a shell");
        let disk = Disk { folder, device: OnceLock::new(), keeper };
        std::fs::create_dir(disk.root()).expect("a folder");
        let image = File::create(disk.image()).expect("a file");
        image.set_len(bytes).expect("a file without content needs no room");
        disk
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Its bytes.
    pub fn image(&self) -> PathBuf {
        self.folder.join("image")
    }

    /// A file beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Mounts it, which replays its journal.
    pub fn mount(&self) {
        self.mount_file(&self.image());
    }

    /// Makes everything ready that needs a process of its own, so that mounting does not: a process that one thread starts
    /// has for a moment what another one has open, and what was mounted there is busy.
    pub fn attach(&self) {
        self.device(&self.image());
    }

    /// A broker with its data there, which may fill it.
    pub fn broker(&self) -> Broker {
        let environment = vec![("POSTRIDER_DISK_RESERVE", "0".to_owned())];
        Broker::start_at(&self.root().join("data"), Program { environment, ..Program::default() })
    }

    /// Takes it away in order: what was not written yet is, unless the power was cut.
    pub fn unmount(&self) {
        // Whoever looks at all mounted disks just now has it open as well.
        eventually(DEADLINE, "nobody has a file of it open", || {
            match unmount(self.root(), UnmountFlags::empty()) {
                Err(error) => assert_eq!(error, Errno::BUSY, "it was mounted"),
                Ok(()) => return true,
            }
            false
        });
    }

    /// Cuts the power: what was not synced is lost. To be unmounted then.
    pub fn cut(&self) {
        let cutter = self.folder.join("cut");
        if !cutter.exists() {
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/disk/cut.c");
            run(Command::new("cc").arg("-o").arg(&cutter).arg(source));
        }
        run(Command::new(cutter).arg(self.root()));
    }

    /// Mounts it through a daemon, which logs every write and flush in the file that is returned.
    pub fn mount_logged(&self) -> PathBuf {
        let (log, exported) = (self.beside("log"), self.beside("exported"));
        for file in [&log, &exported] {
            File::create(file).expect("a file");
        }
        let node = |rest: String| ["--blockdev".to_owned(), rest];
        let mut daemon = Command::new("qemu-storage-daemon");
        daemon.args(["--daemonize", "--pidfile"]).arg(self.beside("daemon"));
        daemon.args(node(format!("driver=file,node-name=disk,filename={}", self.image().display())));
        daemon.args(node("driver=raw,node-name=raw,file=disk".to_owned()));
        daemon.args(node(format!("driver=file,node-name=log,filename={}", log.display())));
        daemon.args(node(
            "driver=blklogwrites,node-name=logged,file=raw,log=log,log-sector-size=512".to_owned(),
        ));
        let export =
            format!("type=fuse,id=logged,node-name=logged,mountpoint={},writable=on", exported.display());
        run(daemon.arg("--export").arg(export));
        self.mount_file(&exported);
        log
    }

    fn mount_file(&self, file: &Path) {
        let device = self.device(file);
        mount(device, self.root(), "ext4", MountFlags::empty(), None).unwrap_or_else(|error| {
            panic!("{device} cannot be mounted ({error}): disks need root and loop devices")
        });
    }

    fn device(&self, file: &Path) -> &str {
        self.device.get_or_init(|| {
            let device = run(Command::new("losetup").args(["--find", "--show"]).arg(file));
            std::fs::write(self.beside("device"), &device).expect("a file");
            device.trim().to_owned()
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The end of its input is what the keeper waits for.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// What the programs come in that a plain system may not have.
const PACKAGES: [(&str, &str); 3] =
    [("qemu-storage-daemon", "qemu-utils"), ("mkfs.ext4", "e2fsprogs"), ("cc", "gcc")];

/// Runs a program, which must do; returns what it says.
fn run(command: &mut Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        let package = PACKAGES.iter().find(|(name, _)| *name == program);
        let install = package.map_or(String::new(), |(_, package)| format!(": install {package}"));
        panic!("{program} cannot be started ({error}){install}")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    let needs = "disks need root, loop devices and FUSE";
    assert!(output.status.success(), "{program}: {}; {said} ({needs})", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
