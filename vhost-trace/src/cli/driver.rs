//! `driver`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::driver::{self, Inject};

/// Arguments of `driver`.
#[derive(Debug, Args)]
pub struct DriverArgs {
    #[command(subcommand)]
    command: DriverCommand,
}

#[derive(Debug, Subcommand)]
enum DriverCommand {
    /// Build the module for one kernel.
    Build {
        /// Build folder of that kernel: /lib/modules/RELEASE/build.
        #[arg(long, value_name = "DIR")]
        headers: PathBuf,
        #[command(flatten)]
        out: Out,
    },
    /// Make a Debian package that builds it in the guest, with DKMS.
    Deb {
        #[command(flatten)]
        out: Out,
    },
    /// Write its sources to a folder.
    Source {
        #[command(flatten)]
        out: Out,
    },
    /// Put it into the image of a VM that is off, with libguestfs; or print the
    /// command where that is not installed.
    Inject {
        /// The image.
        #[arg(value_name = "IMAGE")]
        image: PathBuf,
        /// A module built for the image's kernel [default: the Debian package,
        /// which the image's own package manager installs].
        #[arg(long, value_name = "FILE")]
        module: Option<PathBuf>,
        #[command(flatten)]
        out: Out,
    },
}

#[derive(Debug, Args)]
struct Out {
    /// Where to write it.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

impl DriverArgs {
    /// Do it, and say where the result is.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let made = match self.command {
            DriverCommand::Build { headers, out } => driver::build(&headers, &out.out)?,
            DriverCommand::Deb { out } => driver::package(&out.out)?,
            DriverCommand::Source { out } => {
                driver::unpack(&out.out)?;
                out.out
            }
            DriverCommand::Inject { image, module, out } => {
                return inject(&image, module, &out.out);
            }
        };
        println!("{}", made.display());
        Ok(())
    }
}

fn inject(
    image: &Path,
    module: Option<PathBuf>,
    out: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let image = std::fs::canonicalize(image)
        .map_err(|error| format!("image {}: {error}", image.display()))?;
    let what = match module {
        Some(module) => Inject::Module(module),
        None => Inject::Package(driver::package(out)?),
    };
    match driver::inject(&image, &what)? {
        None => Ok(()),
        Some(command) => {
            println!("{command}");
            Err(
                "nothing was injected, since virt-customize is not installed (on Debian: apt-get \
                 install libguestfs-tools); the line above is the command for where it is"
                    .into(),
            )
        }
    }
}
