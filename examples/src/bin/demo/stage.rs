//! What the demo needs before it begins: programs, orders, a folder for everything.

use anyhow::{Context, Result, ensure};
use postrider_examples::{generator, order};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

const ORDERS_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/orders/orders-1000.jsonl");

/// Where everything is.
pub struct Stage {
    folder: TempDir,
    programs: PathBuf,
    postrider: PathBuf,
    /// The file of orders.
    pub orders: PathBuf,
    /// How many orders there are in it.
    pub count: u64,
}

impl Stage {
    /// Finds the programs and makes the folder, and orders if a number is given.
    pub fn set(count: Option<u64>, postrider: Option<PathBuf>) -> Result<Self> {
        let own = std::env::current_exe().context("cannot find the demo's own folder")?;
        let programs = own.parent().context("the demo is in no folder")?.to_owned();
        let postrider = postrider.unwrap_or_else(|| programs.join("postrider"));
        ensure!(postrider.is_file(), "there is no broker at {}; make build builds it", postrider.display());
        let folder = tempfile::Builder::new().prefix("postrider-demo-").tempdir();
        let folder = folder.context("cannot make a temporary folder")?;
        let orders = match count {
            Some(count) => write_orders(folder.path().join("orders.jsonl"), count)?,
            None => PathBuf::from(ORDERS_FILE),
        };
        let count = order::read(&orders)?.try_fold(0, |count, order| order.map(|_| count + 1))?;
        Ok(Stage { folder, programs, postrider, orders, count })
    }

    /// One of the services, which are built beside the demo. Its errors are for people: no stack of calls.
    pub fn service(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env("RUST_LIB_BACKTRACE", "0");
        command
    }

    /// The broker's command.
    pub fn broker(&self) -> Command {
        let mut command = Command::new(&self.postrider);
        command.arg("serve").arg("--data-dir").arg(self.folder.path().join("data"));
        command
    }

    /// Where a service keeps its history.
    pub fn history(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.history.jsonl"))
    }

    /// Where what a process says goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Keeps the folder, and says where it is.
    pub fn keep(&mut self) -> impl std::fmt::Display + '_ {
        self.folder.disable_cleanup(true);
        Path::display(self.folder.path())
    }
}

fn write_orders(path: PathBuf, count: u64) -> Result<PathBuf> {
    let mut file = BufWriter::new(File::create(&path)?);
    for order in generator::orders(count, generator::SEED) {
        serde_json::to_writer(&mut file, &order)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(path)
}
