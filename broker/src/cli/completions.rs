//! `postrider completions`.

use super::failure::Failure;
use clap::{Args, Command};
use clap_complete::Shell;
use std::io::{self, Write};

/// Print completions for a shell
#[derive(Args)]
#[command(after_help = examples!(
    "postrider completions bash > ~/.local/share/bash-completion/completions/postrider",
    "postrider completions zsh > ~/.zfunc/_postrider",
    "postrider completions fish > ~/.config/fish/completions/postrider.fish",
))]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints those of `command`.
    pub fn run(self, command: &mut Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "postrider", &mut script);
        Ok(io::stdout().write_all(&script)?)
    }
}
